"""The cluster's identities: one authority, and a certificate for each program that speaks.

Every program proves who it is with a certificate, as in a real cluster, so the tests meet real
authentication and authorisation. Keys are elliptic, because RSA keys would cost a second of the start.
"""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=30)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Signs the certificates of one cluster.

    Attributes:
        folder: Where keys and certificates are written.
        key: Its private key.
        certificate: Its own certificate.
        now: When the cluster was made.
    """

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    now: datetime

    @property
    def path(self) -> Path:
        """File with the authority's certificate."""
        return self.folder / "ca.crt"

    def issue(
        self, name: str, *, group: str | None = None, addresses: tuple[str, ...] = ()
    ) -> tuple[Path, Path]:
        """Write a certificate and its key, and return the two files.

        Args:
            name: Common name; for a client its user name.
            group: The client's group, as in system:masters.
            addresses: Addresses and names of a server.

        Returns:
            The certificate's file and the key's.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [_alternative(address) for address in addresses]
        builder = (
            _builder(_subject(name, group), issuer=self.certificate.subject, now=self.now)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
                ),
                critical=False,
            )
        )
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        stem = name.replace(":", "-")
        certificate = self.folder / f"{stem}.crt"
        certificate.write_bytes(_pem(builder.sign(self.key, hashes.SHA256())))
        return certificate, write_key(self.folder / f"{stem}.key", key)

    def kubeconfig(self, name: str, *, server: str, group: str | None = None) -> Path:
        """Write a kubeconfig with a client certificate inside, and return its file."""
        certificate, key = self.issue(name, group=group)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": server, "certificate-authority-data": _b64(self.path)},
                }
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _b64(certificate),
                        "client-key-data": _b64(key),
                    },
                }
            ],
        }
        path = self.folder / f"{name.replace(':', '-')}.kubeconfig"
        _write_private(path, yaml.safe_dump(document).encode())
        return path


def make_authority(folder: Path, *, now: datetime) -> Authority:
    """Make the cluster's authority and write its certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("lowtide test cluster", None)
    certificate = (
        _builder(name, issuer=name, now=now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(folder=folder, key=key, certificate=certificate, now=now)
    authority.path.write_bytes(_pem(certificate))
    return authority


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | None = None) -> Path:
    """Write a private key, a new one unless it is given, and return its file."""
    content = (key or ec.generate_private_key(ec.SECP256R1())).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    _write_private(path, content)
    return path


def _builder(subject: x509.Name, *, issuer: x509.Name, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFE)
    )


def _subject(name: str, group: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if group is not None:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _b64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
