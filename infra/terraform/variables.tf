variable "namespace" {
  description = "Namespace of the training jobs."
  type        = string
  default     = "ml-training"
}

variable "quota" {
  description = "What the namespace may use in all."
  type = object({
    gpus   = number
    cpus   = number
    memory = string
  })
  default = {
    gpus   = 2
    cpus   = 16
    memory = "32Gi"
  }
}
