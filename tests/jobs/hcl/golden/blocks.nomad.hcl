/* As many blocks and arguments of the job specification as fit,
   not a job that anybody would run. */
job "blocks" {
  id           = "blocks-id"
  name         = "blocks-name"
  region       = "eu"
  namespace    = "ml"
  type         = "service"
  priority     = 70
  all_at_once  = true
  datacenters  = ["dc1", "dc2"]
  node_pool    = "gpu"
  consul_token = "c"
  vault_token  = "v"

  meta = { owner = "ml", tier = 1 }

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  constraint {
    attribute = "${attr.vault.version}"
    version   = ">= 0.6.1"
  }
  constraint {
    attribute = "${attr.nomad.version}"
    semver    = "> 1.0.0"
  }
  constraint {
    attribute = "${attr.cpu.arch}"
    regexp    = "amd.*"
  }
  constraint {
    attribute    = "${meta.tags}"
    set_contains = "a,b"
  }
  constraint { distinct_hosts = true }
  constraint {
    distinct_property = "${meta.rack}"
    value             = 3
  }
  constraint {
    attribute = "${meta.x}"
    operator  = "is_set"
  }

  affinity {
    attribute = "${node.datacenter}"
    value     = "dc1"
    weight    = 100
  }
  affinity {
    attribute        = "${meta.tags}"
    set_contains_any = "a,b"
    weight           = -50
  }

  spread {
    attribute = "${node.datacenter}"
    weight    = 80
    target "dc1" { percent = 70 }
    target "dc2" { percent = 30 }
  }

  update {
    stagger           = "30s"
    max_parallel      = 2
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    canary            = 1
    auto_revert       = true
    auto_promote      = false
  }

  migrate {
    max_parallel     = 1
    health_check     = "task_states"
    min_healthy_time = "1.5s"
    healthy_deadline = "1h30m"
  }

  reschedule {
    attempts       = 3
    interval       = "1h"
    delay          = "30s"
    delay_function = "exponential"
    max_delay      = "120s"
    unlimited      = false
  }

  periodic {
    cron             = "*/15 * * * *"
    crons            = ["0 3 * * *", "0 4 * * *"]
    prohibit_overlap = true
    time_zone        = "Europe/Berlin"
    enabled          = false
  }

  multiregion {
    strategy {
      max_parallel = 1
      on_failure   = "fail_all"
    }
    region "us" {
      count       = 2
      datacenters = ["us-east-1"]
      node_pool   = "default"
      meta { cloud = "aws" }
    }
    region "eu" {
      datacenters = ["eu-west-1"]
    }
  }

  vault {
    policies = ["job"]
    env      = false
  }

  # Gets a group of its own.
  task "alone" {
    driver = "exec"
    config { command = "true" }
  }

  group "web" {
    count                        = 3
    shutdown_delay               = "7s"
    stop_after_client_disconnect = "1m"
    max_client_disconnect        = "2h"

    consul { namespace = "team" }

    meta { group = "web" }

    ephemeral_disk {
      sticky  = true
      migrate = true
      size    = 500
    }

    scaling {
      enabled = true
      min     = 1
      max     = 10
      policy {
        cooldown = "1m"
        check "load" {
          source = "prometheus"
          query  = "avg(load)"
          strategy "target-value" { target = 70 }
        }
      }
    }

    network {
      mode     = "bridge"
      hostname = "web-${NOMAD_ALLOC_INDEX}"
      dns {
        servers  = ["1.1.1.1"]
        searches = ["example.com"]
        options  = ["ndots:2"]
      }
      port "http" {
        static       = 8080
        to           = 80
        host_network = "public"
      }
      port "metrics" { to = -1 }
    }

    volume "data" {
      type            = "csi"
      source          = "data"
      read_only       = true
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
      per_alloc       = true
      mount_options {
        fs_type     = "ext4"
        mount_flags = ["noatime"]
      }
    }
    volume "cache" {
      type   = "host"
      source = "cache"
    }

    service {
      name                = "web"
      port                = "http"
      provider            = "consul"
      tags                = ["a", "b-${NOMAD_ALLOC_ID}"]
      canary_tags         = ["canary"]
      enable_tag_override = true
      address_mode        = "auto"
      address             = "10.0.0.1"
      task                = "server"
      on_update           = "ignore_warnings"
      meta { version = 4 }
      canary_meta { version = 5 }
      tagged_addresses { wan = "1.2.3.4" }

      check {
        name                     = "alive"
        type                     = "http"
        path                     = "/health"
        port                     = "http"
        protocol                 = "https"
        method                   = "POST"
        body                     = "{}"
        interval                 = "10s"
        timeout                  = "2s"
        initial_status           = "passing"
        tls_skip_verify          = true
        tls_server_name          = "web.example.com"
        expose                   = true
        address_mode             = "host"
        advertise                = "10.0.0.1"
        success_before_passing   = 3
        failures_before_critical = 4
        on_update                = "require_healthy"
        header {
          Accept = ["a", "b"]
        }
        check_restart {
          limit           = 3
          grace           = "90s"
          ignore_warnings = true
        }
      }
      check {
        type         = "grpc"
        grpc_service = "s"
        grpc_use_tls = true
        task         = "server"
        interval     = 5000000000
        timeout      = "1s"
      }
      check {
        type     = "script"
        command  = "/bin/check"
        args     = ["-x"]
        interval = "1m"
        timeout  = "500ms"
      }

      check_restart { limit = 2 }

      connect {
        sidecar_service {
          tags                      = ["proxy"]
          port                      = "20000"
          disable_default_tcp_check = true
          meta { side = "car" }
          proxy {
            local_service_address = "127.0.0.1"
            local_service_port    = 80
            upstreams {
              destination_name       = "db"
              destination_namespace  = "data"
              destination_peer       = "cloud"
              destination_type       = "service"
              local_bind_port        = 5432
              local_bind_address     = "127.0.0.1"
              local_bind_socket_path = "/tmp/s"
              local_bind_socket_mode = "0600"
              datacenter             = "dc2"
              mesh_gateway { mode = "local" }
              config { connect_timeout_ms = 500 }
            }
            upstreams {
              destination_name = "cache"
              local_bind_port  = 6379
            }
            expose {
              path {
                path            = "/metrics"
                protocol        = "http"
                local_path_port = 9090
                listener_port   = "metrics"
              }
            }
            config { protocol = "http" }
          }
        }
        sidecar_task {
          name           = "envoy"
          driver         = "docker"
          user           = "proxy"
          kill_timeout   = "5s"
          kill_signal    = "SIGTERM"
          shutdown_delay = "1s"
          config { image = "envoy" }
          env { LEVEL = "debug" }
          meta { m = 1 }
          logs { max_files = 1 }
          resources { cpu = 50 }
        }
      }
    }

    service {
      name = "native"
      connect { native = true }
    }

    service {
      name = "gateway"
      connect {
        gateway {
          proxy {
            connect_timeout                     = "3s"
            envoy_gateway_bind_tagged_addresses = true
            envoy_gateway_no_default_bind       = true
            envoy_dns_discovery_type            = "LOGICAL_DNS"
            envoy_gateway_bind_addresses "http" {
              address = "0.0.0.0"
              port    = 8443
            }
            config { a = 1 }
          }
          ingress {
            tls {
              enabled         = true
              tls_min_version = "TLSv1_2"
              tls_max_version = "TLSv1_3"
              cipher_suites   = ["X"]
            }
            listener {
              port     = 8080
              protocol = "http"
              service {
                name  = "web"
                hosts = ["example.com"]
              }
            }
          }
          terminating {
            service {
              name      = "legacy"
              ca_file   = "ca.pem"
              cert_file = "cert.pem"
              key_file  = "key.pem"
              sni       = "legacy.example.com"
            }
          }
          mesh {}
        }
      }
    }

    vault {
      policies      = ["group"]
      namespace     = "ns"
      change_mode   = "signal"
      change_signal = "SIGUSR1"
      disable_file  = true
    }

    task "server" {
      driver         = "docker"
      user           = "www"
      kind           = "k"
      leader         = true
      kill_timeout   = "20s"
      kill_signal    = "SIGINT"
      shutdown_delay = "3s"

      env = { A = 1, B = true }
      meta { m = "x" }

      constraint {
        attribute = "${attr.unique.storage.bytesfree}"
        operator  = ">"
        value     = 1000
      }
      affinity {
        attribute = "${attr.cpu.arch}"
        value     = "arm64"
        weight    = 10
      }

      identity {
        env  = true
        file = true
      }

      config {
        image = "web:${meta.version}"
        ports = ["http"]
        mounts = [
          {
            type   = "bind"
            source = "local"
            target = "/local"
          },
        ]
        mount {
          type = "tmpfs"
          tmpfs_options { size = 1000 }
        }
        labels { team = "ml" }
        logging = { driver = "journald" }
      }

      logs {
        max_files     = 3
        max_file_size = 15
        disabled      = true
      }

      artifact {
        source      = "git::https://example.com/repo.git"
        destination = "local/repo"
        mode        = "dir"
        options { depth = 1 }
        headers { X-Token = "t" }
      }
      artifact {
        source = "s3::https://s3.amazonaws.com/bucket/file"
      }

      template {
        source               = "local/in.tpl"
        destination          = "local/out"
        change_mode          = "script"
        change_signal        = "SIGHUP"
        splay                = "15s"
        perms                = "600"
        uid                  = 1000
        gid                  = 1000
        left_delimiter       = "[["
        right_delimiter      = "]]"
        env                  = true
        vault_grace          = "1m"
        error_on_missing_key = true
        wait {
          min = "5s"
          max = "10s"
        }
        change_script {
          command       = "/bin/reload"
          args          = ["now"]
          timeout       = "7s"
          fail_on_error = true
        }
      }

      volume_mount {
        volume           = "data"
        destination      = "/data"
        read_only        = true
        propagation_mode = "private"
      }

      restart {
        interval         = "1m"
        attempts         = 5
        delay            = "15s"
        mode             = "delay"
        render_templates = true
      }

      scaling "cpu" {
        enabled = true
        max     = 2000
        policy { check = { x = 1 } }
      }
      scaling "mem" {
        min = 100
        max = 2000
      }

      resources {
        cpu        = 500
        cores      = 2
        memory     = 256
        memory_max = 512
        disk       = 10
        iops       = 5
        network {
          mbits = 10
          port "db" {}
          port "admin" { static = 22 }
        }
        device "nvidia/gpu" {
          count = 2
          constraint {
            attribute = "${device.attr.memory}"
            operator  = ">="
            value     = "2 GiB"
          }
          affinity {
            attribute = "${device.model}"
            regexp    = "V100"
            weight    = 60
          }
        }
      }

      service {
        name = "task-service"
        port = "db"
      }
    }

    task "plugin" {
      driver = "docker"

      lifecycle {
        hook    = "poststart"
        sidecar = true
      }

      vault {
        policies = ["own"]
      }

      csi_plugin {
        id                     = "p"
        type                   = "node"
        mount_dir              = "/csi"
        stage_publish_base_dir = "/stage"
        health_timeout         = "45s"
      }
    }
  }

  group "more" {
    constraint {
      attribute = "${attr.os.name}"
      value     = "debian"
    }
    affinity {
      attribute = "${node.class}"
      value     = "gpu"
    }
    spread {
      attribute = "${meta.rack}"
    }
    update { max_parallel = 0 }
    migrate { max_parallel = 2 }
    network {
      device = "eth0"
      cidr   = "10.0.0.0/8"
      ip     = "10.0.0.1"
    }
    task "t" {
      driver = "raw_exec"
      logs { enabled = false }
    }
  }

  group "empty" {
    task "t" {
      driver = "raw_exec"
      config {}
      resources {}
    }
  }
}
