# A parameterized training job in the style of the bundled pipeline.

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "driver" {
  type        = string
  default     = "raw_exec"
  description = "raw_exec, exec or docker."

  validation {
    condition     = contains(["raw_exec", "exec", "docker"], var.driver)
    error_message = "The driver is raw_exec, exec or docker."
  }
}

variable "image" {
  type    = string
  default = ""
}

variable "volume" {
  type    = string
  default = "handover"
}

variable "count" {
  type    = number
  default = 2
}

variable "resources" {
  type = object({
    cpu    = number
    memory = number
  })
  default = {
    cpu    = 500
    memory = "512"
  }
}

locals {
  stages   = ["extract", "transform", "build", "train", "test"]
  image    = var.driver == "docker" ? var.image : null
  handover = var.volume == "" ? "${NOMAD_ALLOC_DIR}" : "/handover/${NOMAD_ALLOC_ID}"
}

job "training" {
  type        = "batch"
  priority    = 60
  datacenters = var.datacenters

  parameterized {
    payload       = "forbidden"
    meta_required = ["model_version"]
    meta_optional = ["save_path", "data_url", "epochs", "batch_size"]
  }

  meta {
    data_url = "file:///data/${lower("COIL")}2000.csv.gz"
    epochs   = 20
  }

  group "pipeline" {
    count = var.count

    restart {
      attempts = 1
      interval = "10m"
      delay    = "1s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    dynamic "volume" {
      for_each = var.volume == "" ? [] : [var.volume]
      labels   = ["handover"]
      content {
        type   = "host"
        source = volume.value
      }
    }

    task "train" {
      driver = var.driver

      lifecycle {
        hook    = "prestart"
        sidecar = false
      }

      config {
        image   = local.image
        command = "python3"
        args    = concat(["-m", "pipeline"], local.stages)
      }

      env {
        HANDOVER_DIR    = local.handover
        RUN_NAME        = "${NOMAD_META_model_version}_${NOMAD_ALLOC_ID}"
        OMP_NUM_THREADS = 1
      }

      dynamic "template" {
        for_each = { for stage in local.stages : stage => upper(stage) if stage != "build" }
        iterator = stage
        content {
          data            = <<-EOT
            # ${stage.key}
            NAME = "${stage.value}"
            %{~ if stage.key == "train" }
            EPOCHS = @@{ env "NOMAD_META_epochs" }@@
            %{~ endif }
          EOT
          destination     = "local/pipeline/${stage.key}.py"
          left_delimiter  = "@@{"
          right_delimiter = "}@@"
          change_mode     = "noop"
        }
      }

      dynamic "volume_mount" {
        for_each = var.volume == "" ? [] : [var.volume]
        content {
          volume      = "handover"
          destination = "/handover"
        }
      }

      resources {
        cpu    = var.resources.cpu
        memory = var.resources.memory
      }
    }

    task "store" {
      driver = var.driver
      leader = true

      config {
        command = "fedml"
        args    = ["publish", "${NOMAD_ALLOC_DIR}/artifact", "--version", "${NOMAD_META_model_version}"]
      }

      resources {
        cpu    = 100
        memory = floor(var.resources.memory / 5)
      }
    }
  }
}
