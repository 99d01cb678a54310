/* What the job specification got after Nomad 1.6.3, up to 2.0.5. */
job "newer" {
  type        = "batch"
  datacenters = ["dc1"]

  ui {
    description = "what this is"
    link {
      label = "Docs"
      url   = "https://example.com/docs"
    }
    link {
      label = "Source"
      url   = "https://example.com/source"
    }
  }

  secret "shared" {
    provider = "nomad"
    path     = "shared/token"
  }

  group "g" {
    max_run_duration           = "6h"
    prevent_reschedule_on_lost = true

    consul {
      namespace = "team"
      cluster   = "east"
      partition = "p"
    }

    disconnect {
      lost_after           = "6h"
      stop_on_client_after = "1h"
      replace              = false
      reconcile            = "keep_original"
    }

    network {
      mode = "cni/calico"
      cni {
        args = { "nomad.example" = "x", count = 2 }
      }
      port "ssh" {
        static           = 2222
        ignore_collision = true
      }
    }

    volume "data" {
      type   = "host"
      source = "data"
      sticky = true
    }

    service {
      name    = "web"
      cluster = "east"
      kind    = "api-gateway"
      identity {
        aud = ["consul.io"]
        ttl = "1h"
      }
      weights {
        passing = 3
        warning = 1
      }
      check {
        type                    = "tcp"
        interval                = "10s"
        timeout                 = "2s"
        notes                   = "is it there"
        failures_before_warning = 2
      }
      connect {
        sidecar_service {
          proxy {
            upstreams {
              destination_name      = "db"
              destination_partition = "p"
              local_bind_port       = 5432
            }
            transparent_proxy {
              uid                    = "101"
              outbound_port          = 15001
              exclude_inbound_ports  = ["http", "8080"]
              exclude_outbound_ports = [443, 80]
              exclude_outbound_cidrs = ["10.0.0.0/8"]
              exclude_uids           = ["100"]
              no_dns                 = true
            }
          }
        }
        sidecar_task {
          volume_mount {
            volume      = "data"
            destination = "/data"
          }
          identity {
            name = "proxy"
            aud  = ["proxy"]
          }
        }
      }
    }

    service {
      name = "gateway"
      connect {
        gateway {
          ingress {
            tls {
              enabled = true
              sds {
                cluster_name  = "sds"
                cert_resource = "cert"
              }
            }
            listener {
              port = 8080
              service {
                name                    = "web"
                max_connections         = 100
                max_pending_requests    = 200
                max_concurrent_requests = 300
                tls {
                  enabled = true
                }
                request_headers {
                  add { x = "1" }
                  set { y = 2 }
                  remove = ["z"]
                }
                response_headers {
                  remove = ["w"]
                }
              }
            }
          }
        }
      }
    }

    task "main" {
      driver = "raw_exec"

      config { command = "true" }

      consul {
        cluster = "west"
      }

      identity {
        env = true
        ttl = "30m"
      }
      identity {
        name          = "aws"
        aud           = ["sts.amazonaws.com"]
        file          = true
        filepath      = "local/token"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        service_name  = "web"
        extra_claims  = ["unique_id"]
      }

      action "flush" {
        command = "/bin/flush"
        args    = ["--all"]
      }

      schedule {
        cron {
          start    = "0 9 * * *"
          end      = "0 17 * * *"
          timezone = "Europe/Berlin"
        }
      }

      secret "own" {
        provider = "vault"
        path     = "kv/own"
        config {
          engine = "kv_v2"
        }
        env {
          LEVEL = "debug"
        }
      }

      vault {
        role                   = "r"
        cluster                = "east"
        allow_token_expiration = true
      }

      artifact {
        source   = "https://example.com/a"
        insecure = true
        chown    = true
      }

      template {
        data        = "x"
        destination = "local/x"
        once        = true
        change_mode = "script"
        change_script {
          command             = "/bin/render"
          run_on_first_render = true
        }
      }

      volume_mount {
        volume        = "data"
        destination   = "/data"
        selinux_label = "Z"
      }

      resources {
        cores   = 2
        secrets = 4
        numa {
          affinity = "prefer"
          devices  = ["nvidia/gpu"]
        }
      }
    }
  }
}
