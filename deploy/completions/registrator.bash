# bash completion for registrator
_registrator() {
    COMPREPLY=()
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $previous in
        -ip | --ip) return ;;
        -useIpFromLabel | --useIpFromLabel) return ;;
        -tags | --tags) return ;;
        -max-services | --max-services) return ;;
        -hostname | --hostname) return ;;
        -ttl | --ttl) return ;;
        -ttl-refresh | --ttl-refresh) return ;;
        -resync | --resync) return ;;
        -deregister | --deregister) mapfile -t COMPREPLY < <(compgen -W 'always on-success never' -- "$current"); return ;;
        -drain | --drain) return ;;
        -on-shutdown | --on-shutdown) mapfile -t COMPREPLY < <(compgen -W 'keep deregister critical' -- "$current"); return ;;
        -removal-guard | --removal-guard) return ;;
        -owner | --owner) return ;;
        -retry-attempts | --retry-attempts) return ;;
        -retry-interval | --retry-interval) return ;;
        -log-format | --log-format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$current"); return ;;
        -log-level | --log-level) mapfile -t COMPREPLY < <(compgen -W 'debug info warn error' -- "$current"); return ;;
        -status | --status) return ;;
        -status-tls-cert | --status-tls-cert) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -status-tls-key | --status-tls-key) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -status-token-file | --status-token-file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -prometheus-file | --prometheus-file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -audit | --audit) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -render | --render) return ;;
        -config | --config) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -format | --format) mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$current"); return ;;
        -generate | --generate) mapfile -t COMPREPLY < <(compgen -W 'man bash zsh fish reference' -- "$current"); return ;;
        validate) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        config) mapfile -t COMPREPLY < <(compgen -W 'show check' -- "$current"); return ;;
        help) mapfile -t COMPREPLY < <(compgen -W 'explain plan services containers registries watch validate check doctor config support-dump help' -- "$current"); return ;;
    esac
    if [[ $current == -* ]]; then
        current=${current#-}
        mapfile -t COMPREPLY < <(compgen -W '-ip -internal -explicit -useIpFromLabel -tags -max-services -traefik -hostname -ttl -ttl-refresh -resync -deregister -drain -on-shutdown -cleanup -adopt -removal-guard -owner -owner-meta -retry-attempts -retry-interval -log-format -log-level -status -status-tls-cert -status-tls-key -status-token-file -prometheus-file -audit -render -allow-signals -dry-run -once -config -format -healthcheck -help -version -generate' -- "-${current#-}")
    else
        [[ $COMP_CWORD -ne 1 ]] || mapfile -t COMPREPLY < <(compgen -W 'explain plan services containers registries watch validate check doctor config support-dump help' -- "$current")
        [[ $COMP_CWORD -eq 1 && ${#COMPREPLY[@]} -gt 0 ]] || compopt -o nospace
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W 'consul:// consul-tls:// consul-unix:// consulkv:// consulkv-tls:// consulkv-unix:// etcd:// etcd2:// etcd3:// etcd-tls:// discoverd:// embedded:// eureka:// eureka-tls:// redis:// rediss:// redis+sentinel:// rfc2136:// skydns2:// coredns:// webhook+http:// webhook+https:// zookeeper:// zookeeper-tls://' -- "$current")
    fi
}
complete -F _registrator registrator
