# The quota of background jobs, for those with provider 2.0 or newer: 1.13.4 has no scope_selector.
# With an older one, apply ../../kubernetes/quotas.yaml instead.
terraform {
  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.0"
    }
  }
}

variable "namespace" {
  description = "Namespace of the training jobs."
  type        = string
  default     = "ml-training"
}

resource "kubernetes_resource_quota" "background" {
  metadata {
    name      = "training-background"
    namespace = var.namespace
  }
  spec {
    hard = {
      "requests.nvidia.com/gpu" = "1"
      "requests.memory"         = "4Gi"
    }
    scope_selector {
      match_expression {
        scope_name = "PriorityClass"
        operator   = "In"
        values     = ["background"]
      }
    }
  }
}
