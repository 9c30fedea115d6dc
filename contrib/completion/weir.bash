# bash completion for weir(8)
_weir()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}

	case $prev in
	-s|--signal)
		mapfile -t COMPREPLY < <(compgen -W 'reload quit stop reopen upgrade' -- "$cur")
		return ;;
	-c|--config)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W '-c --config= -t --test -T --dump -s --signal= -V --build --schema --manual
		-h --help --version' -- "$cur")
}
complete -F _weir weir
