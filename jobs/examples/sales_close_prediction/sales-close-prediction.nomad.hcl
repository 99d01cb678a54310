# Trains a model that predicts which customers buy, tests it, and publishes it with its metrics.
#
#   fedml dispatch --regions us,eu --version 4                        over several regions at once
#   nomad job dispatch -meta model_version=4 sales-close-prediction   in one region, without fedml
#
# The job contains its own code: the stages in pipeline/ are part of it, so no node needs a copy or a shared folder.

# ---- Places. Set values that differ between regions in [regions.NAME.vars] of fedml.toml, or with -var NAME=VALUE ---

variable "datacenters" {
  type    = list(string)
  default = ["*"] # servers before Nomad 1.5 need the names (fedml fills them in)
}

variable "driver" {
  type        = string
  default     = "raw_exec"
  description = "raw_exec and exec use the node's own Python; docker needs `image`."
}

variable "image" {
  type        = string
  default     = ""
  description = "For docker: an image with Python, scikit-learn, matplotlib and fedml-nomad."
}

variable "python" {
  type        = string
  default     = "python3"
  description = "A Python with scikit-learn and matplotlib, on the node's PATH or by its full path."
}

variable "fedml" {
  type        = string
  default     = "fedml"
  description = "The fedml command on the node, on its PATH or by its full path."
}

variable "volume" {
  type        = string
  default     = ""
  description = "A host volume for the files that the tasks share (exec and docker; raw_exec has none). Empty: the allocation's own folder."
}

variable "data_url" {
  type        = string
  default     = ""
  description = "The customers: http(s):// or file://. Empty: the file shipped here, which only this machine can read."
}

# ---- Sizes ---------------------------------------------------------------------------------------------------------

variable "count" {
  type        = number
  default     = 1
  description = "Models for each dispatch: each allocation trains and publishes one."
}

variable "cpu" {
  type    = number
  default = 500 # MHz
}

variable "memory" {
  type    = number
  default = 512 # MB
}

locals {
  stages   = ["extract", "transform", "build", "train", "test"]
  shipped  = "file://${abspath("pipeline/data/coil2000.csv.gz")}"
  image    = var.driver == "docker" ? var.image : null
  handover = var.volume == "" ? "${NOMAD_ALLOC_DIR}" : "/handover/${NOMAD_ALLOC_ID}"
}

job "sales-close-prediction" {
  type        = "batch"
  datacenters = var.datacenters

  # Every dispatch names its version and may set the rest. The defaults are in pipeline/parameters.py.
  parameterized {
    payload       = "forbidden"
    meta_required = ["model_version"]
    meta_optional = ["save_path", "data_url", "epochs", "batch_size", "learning_rate", "min_auc", "plot", "seed"]
  }

  meta {
    data_url = var.data_url == "" ? local.shipped : var.data_url
  }

  group "pipeline" {
    count = var.count

    # One more try on the same node. After that the attempt fails, and fedml tries the slot in another region.
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

    # Runs first. If it fails, nothing is published.
    task "train" {
      driver = var.driver

      lifecycle {
        hook    = "prestart"
        sidecar = false
      }

      config {
        image   = local.image
        command = var.python
        args    = concat(["-m", "pipeline"], local.stages)
      }

      env {
        PYTHONPATH           = "${NOMAD_TASK_DIR}"
        HANDOVER_DIR         = local.handover
        OMP_NUM_THREADS      = "1"
        OPENBLAS_NUM_THREADS = "1"
      }

      # The code. The delimiters never occur in Python, so that it arrives unchanged.
      dynamic "template" {
        for_each = concat(["__init__", "__main__", "parameters", "curves"], local.stages)
        content {
          data            = file("pipeline/${template.value}.py")
          destination     = "local/pipeline/${template.value}.py"
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
        cpu    = var.cpu
        memory = var.memory
      }
    }

    # The leader. When it has published, the allocation is done.
    task "store" {
      driver = var.driver
      leader = true

      config {
        image   = local.image
        command = var.python
        args    = ["-m", "pipeline", "store"]
      }

      env {
        PYTHONPATH    = "${NOMAD_TASK_DIR}"
        HANDOVER_DIR  = local.handover
        FEDML_COMMAND = var.fedml
      }

      dynamic "template" {
        for_each = ["__init__", "__main__", "parameters", "store"]
        content {
          data            = file("pipeline/${template.value}.py")
          destination     = "local/pipeline/${template.value}.py"
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
        cpu    = var.cpu
        memory = var.memory
      }
    }
  }
}
