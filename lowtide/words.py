"""How figures are written for a person."""

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


def show_duration(seconds: float) -> str:
    """Write a duration, as precisely as somebody would say it.

    Examples:
        >>> show_duration(8.24), show_duration(75), show_duration(5400), show_duration(100_000)
        ('8.2 s', '1 min 15 s', '1 h 30 min', '1 d 4 h')
    """
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole_s = round(seconds)
    if whole_s < _HOUR_S:
        return f"{whole_s // _MINUTE_S} min {whole_s % _MINUTE_S} s"
    if whole_s < _DAY_S:
        return f"{whole_s // _HOUR_S} h {whole_s % _HOUR_S // _MINUTE_S} min"
    return f"{whole_s // _DAY_S} d {round(whole_s % _DAY_S / _HOUR_S)} h"
