// The sales close prediction as people wrote it in 2021.
job "sales-close-prediction" {
  region      = "us"
  datacenters = ["us-east-1"]
  type        = "batch" // one dispatch, one model

  parameterized {
    payload       = "optional"
    meta_required = ["model_version", "save_path", "data_url", "gcp_creds"]
    meta_optional = ["epochs", "batch_size"]
  }

  group "sales-close" {
    count = 1

    volume "models" {
      type      = "host"
      source    = "models"
      read_only = false
    }

    restart {
      attempts = 0
      mode     = "fail"
    }

    // Runs to its end before the leader starts.
    task "train" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = false
      }

      volume_mount {
        volume      = "models"
        destination = "/models"
        read_only   = false
      }

      config {
        image   = "registry.example.com/sales/train:1.4"
        command = "python"
        args    = ["train.py", "--epochs", "${NOMAD_META_epochs}", "--out", "/models/${NOMAD_META_model_version}"]
        volumes = ["local/data:/data"]

        auth {
          username = "ci"
          password = "${NOMAD_META_registry_password}"
        }
      }

      env {
        MODEL_NAME = "${NOMAD_META_model_version}_${NOMAD_ALLOC_ID}"
        DATA_URL   = "${NOMAD_META_data_url}"
        ZONE       = "${attr.platform.gce.zone}-${meta.rack}"
      }

      dispatch_payload {
        file = "config.json"
      }

      resources {
        cpu    = 2000
        memory = 4096
      }
    }

    task "store" {
      driver = "exec"
      leader = true

      env {
        TARGET_DIR = "${NOMAD_META_save_path}/${node.datacenter}/${NOMAD_META_model_version}_${NOMAD_ALLOC_ID}"
      }

      artifact {
        source      = "https://example.com/gcloud.tar.gz"
        destination = "local/gcloud"

        options {
          checksum = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        }
      }

      template {
        destination = "secrets/creds.json"
        data        = <<EOF
{{ env "NOMAD_META_gcp_creds" }}
EOF
      }

      volume_mount {
        volume      = "models"
        destination = "/models"
        read_only   = true
      }

      config {
        command = "/bin/bash"
        args    = ["-c", "gsutil cp -r \"/models/*\" \"${env["TARGET_DIR"]}\" && echo done > ${env["TARGET_DIR"]}/done"]
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
