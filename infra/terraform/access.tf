# The least that flows need in the cluster: the same as ../kubernetes/flows.yaml. Their service account
# itself is in newer-providers.

resource "kubernetes_role" "flows" {
  metadata {
    name      = "lowtide-flows"
    namespace = kubernetes_namespace.training.metadata[0].name
  }
  rule {
    api_groups = ["batch"]
    resources  = ["jobs"]
    verbs      = ["create", "get", "list", "watch", "patch", "delete"]
  }
  rule {
    api_groups = [""]
    resources  = ["pods"]
    verbs      = ["get", "list", "watch", "patch"]
  }
  rule {
    api_groups = [""]
    resources  = ["pods/log", "resourcequotas", "limitranges", "configmaps"]
    verbs      = ["get", "list"]
  }
  rule {
    api_groups = [""]
    resources  = ["events"]
    verbs      = ["list", "watch"]
  }
  rule {
    api_groups = ["kueue.x-k8s.io"]
    resources  = ["workloads"]
    verbs      = ["get", "list", "watch", "patch"]
  }
  rule {
    api_groups = ["kueue.x-k8s.io"]
    resources  = ["localqueues"]
    verbs      = ["get", "list"]
  }
}

resource "kubernetes_role_binding" "flows" {
  metadata {
    name      = "lowtide-flows"
    namespace = kubernetes_namespace.training.metadata[0].name
  }
  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role.flows.metadata[0].name
  }
  subject {
    kind      = "ServiceAccount"
    name      = "lowtide-flows"
    namespace = kubernetes_namespace.training.metadata[0].name
  }
}

resource "kubernetes_cluster_role" "flows" {
  metadata {
    name = "lowtide-flows"
  }
  rule {
    api_groups = ["kueue.x-k8s.io"]
    resources  = ["clusterqueues"]
    verbs      = ["get", "list"]
  }
  rule {
    api_groups = ["admissionregistration.k8s.io"]
    resources  = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"]
    verbs      = ["get", "list"]
  }
}

resource "kubernetes_cluster_role_binding" "flows" {
  metadata {
    name = "lowtide-flows-${var.namespace}"
  }
  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = kubernetes_cluster_role.flows.metadata[0].name
  }
  subject {
    kind      = "ServiceAccount"
    name      = "lowtide-flows"
    namespace = kubernetes_namespace.training.metadata[0].name
  }
}

resource "kubernetes_network_policy" "training" {
  metadata {
    name      = "training"
    namespace = kubernetes_namespace.training.metadata[0].name
  }
  spec {
    pod_selector {}
    policy_types = ["Ingress", "Egress"]
    egress {
      to {
        ip_block {
          cidr   = "0.0.0.0/0"
          except = ["169.254.169.254/32"]
        }
      }
    }
  }
}
