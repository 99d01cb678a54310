# Every feature of the expression language, in places where its result is seen.

variable "names" {
  type    = list(string)
  default = ["b", "a", "c"]
}

variable "sizes" {
  type = map(number)
  default = {
    large = 8
    small = "1"
  }
}

variable "switch" {
  type    = bool
  default = "true"
}

variable "untyped" {
  default = "text"
}

variable "pair" {
  type    = tuple([string, number])
  default = ["x", 1]
}

variable "letters" {
  type    = set(string)
  default = ["q", "p", "q"]
}

variable "whatever" {
  default = { nested = [{ deep = 1 }, { deep = 2 }] }
}

variables {
  first  = 1
  second = "two"
}

locals {
  later   = "${local.earlier}!"
  earlier = "hello"
  sum     = 1 + 2 * 3 - 4 / 2
}

locals {
  other = local.sum
}

job "expressions" {
  datacenters = [for n in sort(var.names) : "dc-${n}"]
  priority    = var.sizes["large"] * 10
  type        = var.switch ? "batch" : "service"

  meta = {
    "quoted key" = "a"
    bare         = var.untyped
    (upper("computed")) = 1.50
    colon : true
  }

  group "g" {
    count = length(var.names)

    task "t" {
      driver = "raw_exec"

      env {
        PRECEDENCE  = local.sum
        DIVISION    = 10 / 4
        MODULO      = -7 % 3
        NOT         = !var.switch
        LOGIC       = var.switch && (1 < 2 || false)
        COMPARED    = "2" < 10
        EQUAL       = 1 == "1"
        LARGE       = 12345678901234567890
        SMALL       = 0.1 + 0.2
        THIRD       = 1e3
        NEGATED     = -var.first
        LATER       = local.later
        INDEXED     = var.whatever.nested[1].deep
        BY_NUMBER   = var.pair[1]
        ESCAPES     = "tab\tquote\"back\\slash\u00e9$${not} %%{this} $ %"
        STRIPPED    = "a   ${~ "b" ~}   c"
        DIRECTIVES  = "%{ if var.switch }on%{ else }off%{ endif } %{ for k, v in var.sizes }${k}=${v};%{ endfor }"
        UNKNOWN     = "${attr.kernel.name}/${ meta.rack }/${env["HOME"]}"
        UNKNOWN_ARG = upper(attr.kernel.name)
        BARE        = node.unique.name
        IN_BRANCH   = var.switch ? "${NOMAD_ALLOC_ID}" : "none"
        JOINED      = join(",", [for n in var.names : "${n}-${NOMAD_ALLOC_INDEX}"])
      }

      config {
        splat          = var.whatever.nested[*].deep
        old_splat      = var.whatever.nested.*.deep
        of_one         = var.untyped[*]
        of_null        = null[*]
        filtered       = [for i, n in var.names : "${i}:${n}" if n != "a"]
        keyed          = { for k, v in var.sizes : v => k }
        grouped        = { for n in ["ab", "ac", "b"] : substr(n, 0, 1) => n... }
        set            = var.letters
        unified        = var.switch ? [1, "a"] : []
        arms           = var.switch ? { a = 1 } : { b = "x" }
        literal_object = { a = 1, b = { c = 2 } }
        in_parentheses = ({ a = 1 })
        objects        = [{ a = 1 }, { a = 2 }]
        expanded       = max([5, 12, 9]...)
        tried          = try(var.whatever.missing, "fallback")
        possible       = can(var.whatever.nested)
        converted      = convert(["1", "2"], list(number))
        nothing        = null
        heredoc        = <<EOT
first ${var.untyped}
  $${escaped} "quotes" \n
EOT
        indented       = <<-EOT
          one
            two ${attr.cpu.arch}

          %{ for n in var.names ~}
          ${n}
          %{ endfor ~}
          end
        EOT
        functions = [
          format("%s-%03d|%5.1f|%q|%v", "a", 7, 3.14159, "q", [1, true]), formatlist("%s!", var.names),
          jsonencode({ b = [1, 2.5, null], a = "<é>" }), jsondecode("{\"x\": [1, 2.5]}"), yamlencode({ a = [1, "b"] }),
          base64encode("hello"), base64decode("aGVsbG8="), urlencode("a b&c"), md5("x"), sha256("x"),
          cidrsubnet("10.0.0.0/8", 8, 3), cidrhost("10.0.0.0/8", 5), cidrnetmask("10.0.0.0/12"),
          formatdate("YYYY-MM-DD", "2021-06-01T12:00:00Z"), timeadd("2021-06-01T12:00:00Z", "90m"),
          regex_replace("model_v4", "v(\\d)", "version-$1"), replace("a.b", ".", "-"), title("close prediction"),
          trimprefix("v4", "v"), trimsuffix("4.tar", ".tar"), trimspace(" x "), trim("?x!", "?!"), indent(2, "a\nb"),
          split("/", "a/b"), lower("ABC"), reverse("abc"), chomp("a\n"), substr("hello", 1, 3),
          abs(-1), ceil(1.2), floor(1.8), signum(-2), pow(2, 10), log(100, 10), parseint("ff", 16), range(1, 7, 2),
          min(3, 1), coalesce(null, "a"), coalescelist([], ["b"]), compact(["", "c"]), contains(var.names, "a"),
          chunklist(var.names, 2), concat([1], ["a"]), distinct(["a", "a"]), element(var.names, 4), flatten([[1], [[2]]]),
          index(var.names, 1), keys(var.sizes), values(var.sizes), lookup(var.sizes, "none", 3), merge({ a = 1 }, { b = 2 }),
          setunion(["b"], ["a"]), setintersection(["a", "b"], ["b"]), setproduct(["a"], [1, 2]), slice(var.names, 0, 2),
          zipmap(["k"], ["v"]), csvdecode("a,b\n1,2\n"), uuidv5("dns", "example.com"), basename("/a/b"), dirname("/a/b"),
          fileexists("none"),
        ]
        nested_block "label" "second" {
          key = { inner = var.first }
          deeper {
            x = 1
          }
          deeper {
            x = 2
          }
        }
      }
    }
  }
}
