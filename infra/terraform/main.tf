# The Kubernetes objects of ../kubernetes as a module, for those who keep their cluster in Terraform.
# What provider 1.13.4 cannot make is in newer-providers (the quota of background jobs, the flows' service
# account); the admission policies and Kueue's own objects are applied with kubectl.

resource "kubernetes_namespace" "training" {
  metadata {
    name = var.namespace
    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
    }
  }
}

locals {
  priority_classes = {
    urgent = {
      value       = 1000
      default     = false
      description = "Production model updates and critical research; scheduled at once, preempts the others."
    }
    normal = {
      value       = 100
      default     = true
      description = "Everyday training."
    }
    background = {
      value       = 10
      default     = false
      description = "Validation and hyperparameter sweeps; gives way to everything else."
    }
  }
}

resource "kubernetes_priority_class" "training" {
  for_each = local.priority_classes

  metadata {
    name = each.key
  }
  value          = each.value.value
  global_default = each.value.default
  description    = each.value.description
}

resource "kubernetes_resource_quota" "training" {
  metadata {
    name      = "training"
    namespace = kubernetes_namespace.training.metadata[0].name
  }
  spec {
    hard = {
      "requests.nvidia.com/gpu" = tostring(var.quota.gpus)
      "requests.cpu"            = tostring(var.quota.cpus)
      "requests.memory"         = var.quota.memory
    }
  }
}

resource "kubernetes_limit_range" "training" {
  metadata {
    name      = "training"
    namespace = kubernetes_namespace.training.metadata[0].name
  }
  spec {
    limit {
      type = "Pod"
      max = {
        "cpu"            = "8"
        "memory"         = "16Gi"
        "nvidia.com/gpu" = "1"
      }
    }
    limit {
      type = "Container"
      default = {
        "cpu"            = "500m"
        "memory"         = "256Mi"
        "nvidia.com/gpu" = "0"
      }
      default_request = {
        "cpu"            = "500m"
        "memory"         = "256Mi"
        "nvidia.com/gpu" = "0"
      }
    }
  }
}

# Written by `python -m infra.render` from the price book.
resource "kubernetes_config_map" "derived" {
  for_each = toset(["cost-model", "scheduling-policies"])

  metadata {
    name      = each.key
    namespace = kubernetes_namespace.training.metadata[0].name
  }
  data = jsondecode(file("${path.module}/${each.key}.json"))
}
