# bash completion for weirctl(1); names of pools and servers come from the running daemon.
_weirctl_ask()
{
	weirctl "${socket[@]}" -o json "$@" 2>/dev/null
}

_weirctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' command='' args=0 i
	local -a socket=()

	# ':' parts words, and names of pools hold it.
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n : cur prev
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-S|--socket) socket=(-S "${COMP_WORDS[++i]}") ;;
		-o|--output|--interval|--count) ((++i)) ;;
		-*|:) ;;
		*) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else ((++args)); fi ;;
		esac
	done
	case $prev in
	-S|--socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	-o|--output) mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$cur"); return ;;
	esac
	case $command in
	'') words='status listeners pools servers routes sticky certs errors server top reload help' ;;
	servers|sticky) words=$(_weirctl_ask pools | sed -n 's/^    "name": "\(.*\)",$/\1/p') ;;
	routes) words=$(_weirctl_ask listeners | sed -n 's/^    "name": "\(.*\)",$/\1/p') ;;
	server)
		if [[ $prev == server ]]; then
			words=$(_weirctl_ask servers | sed -n 's/^    "pool": "\(.*\)",$/\1/p; s/^    "name": "\(.*\)",$/\1/p' |
				paste -d/ - -)
		elif [[ $prev == weight ]]; then
			words='auto'
		else
			words='ready drain maint weight --wait'
		fi ;;
	esac
	[[ $cur == -* ]] && words='-S --socket= -o --output= --wait --interval= --count= -h --help -V --version'
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$cur"
	fi
}
complete -F _weirctl weirctl
