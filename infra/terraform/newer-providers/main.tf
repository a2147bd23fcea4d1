# For those with provider 2.0 or newer. Version 1.13.4 has no scope_selector, and waits for a token that
# Kubernetes 1.24 and newer no longer make for a service account. With it, apply quotas.yaml and flows.yaml
# of ../../kubernetes instead.
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

resource "kubernetes_service_account" "flows" {
  metadata {
    name      = "lowtide-flows"
    namespace = var.namespace
  }
}
