# Tested with provider 1.13.4, the newest that can be built as a Go module, and written so that newer
# ones take it too.
terraform {
  required_version = ">= 1.0"
  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 1.13.4"
    }
  }
}
