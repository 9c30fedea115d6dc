# fish completion for weirctl(1); names of pools and servers come from the running daemon.
function __weirctl_pools
	weirctl -o json pools 2>/dev/null | sed -n 's/^    "name": "\(.*\)",$/\1/p'
end

function __weirctl_listeners
	weirctl -o json listeners 2>/dev/null | sed -n 's/^    "name": "\(.*\)",$/\1/p'
end

function __weirctl_servers
	weirctl -o json servers 2>/dev/null |
		sed -n 's/^    "pool": "\(.*\)",$/\1/p; s/^    "name": "\(.*\)",$/\1/p' | paste -d/ - -
end

set -l commands status listeners pools servers routes sticky certs errors server top reload help
complete -c weirctl -f
complete -c weirctl -s S -l socket -r -F -d 'The control socket'
complete -c weirctl -s o -l output -x -a 'table json' -d 'Form of the answer'
complete -c weirctl -l wait -d 'Until nothing is in progress'
complete -c weirctl -l interval -x -d 'top: seconds between two looks'
complete -c weirctl -l count -x -d 'top: how many looks'
complete -c weirctl -s h -l help -d 'Print a summary'
complete -c weirctl -s V -l version -d 'Print the version'
complete -c weirctl -n "not __fish_seen_subcommand_from $commands" -a "$commands"
complete -c weirctl -n '__fish_seen_subcommand_from servers sticky' -a '(__weirctl_pools)'
complete -c weirctl -n '__fish_seen_subcommand_from routes' -a '(__weirctl_listeners)'
complete -c weirctl -n '__fish_seen_subcommand_from server; and not __fish_seen_subcommand_from ready drain maint weight' \
	-a '(__weirctl_servers) ready drain maint weight'
