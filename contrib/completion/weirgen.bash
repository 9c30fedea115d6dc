# bash completion for weirgen(1)
_weirgen()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}

	case $prev in
	--backends)
		mapfile -t COMPREPLY < <(compgen -W 'auto pod node' -- "$cur")
		return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-s --site= -o --output= --check --explain --strict --backends=
			--port-offset= --reload --diff --watch --list-annotations --help --version' -- "$cur")
	else
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -F _weirgen weirgen
