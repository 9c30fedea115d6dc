# fish completion for weir(8)
complete -c weir -f
complete -c weir -s c -l config -r -F -d 'The configuration'
complete -c weir -s t -l test -d 'Check the configuration'
complete -c weir -s T -l dump -d 'Print the configuration with every default'
complete -c weir -s s -l signal -x -a 'reload quit stop reopen upgrade' -d 'Tell the running weir'
complete -c weir -s V -l build -d 'Version, build options, libraries'
complete -c weir -l schema -d 'Print a JSON Schema of the configuration'
complete -c weir -l manual -d 'Print the option reference as mdoc'
complete -c weir -s h -l help -d 'Print a summary'
complete -c weir -l version -d 'Print the version'
