/**
 * The scripts that a shell loads so that Tab completes `loom`. Each script runs `loom __complete -- WORDS…`, which prints
 * one line for each possible next word: the word, a tab, and its description.
 */
export const scripts = {
  bash: `# In ~/.bashrc: source <(loom completion bash)
_loom() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(loom __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _loom loom
`,
  zsh: `#compdef loom
# In ~/.zshrc, after compinit: source <(loom completion zsh)
_loom() {
  local line
  local -a found
  for line in "\${(@f)$(loom __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( $#found )); then _describe 'loom' found; else _files; fi
}
compdef _loom loom
`,
  fish: `# In ~/.config/fish/completions/loom.fish: loom completion fish | source
function __loom_complete
  set -l words (commandline -opc)
  set -l typed (commandline -ct | string collect --allow-empty)
  set -l found (loom __complete -- $words[2..-1] $typed 2>/dev/null)
  if set -q found[1]
    printf '%s\\n' $found
  else
    __fish_complete_path $typed
  end
end
complete -c loom -f -k -a '(__loom_complete)'
`,
} as const;
