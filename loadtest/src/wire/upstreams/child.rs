//! Faulty tool servers that the edge runs as child processes.

use super::case::Fault;
use serde_json::{Value, json};

/// A server in a shell; its name says what it does with a call. Of what goes on for ever it does as much as a call may take.
const SCRIPT: &str = r#"
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
while read -r line; do
  case $line in *'"notifications/'*) continue;; esac
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"initialize"'*)
      answer "$id" '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}';;
    *'"tools/list"'*)
      answer "$id" '{"tools":[{"name":"work","description":"Works","inputSchema":{"type":"object"}}]}';;
    *'"tools/call"'*)
      n=0
      case $0 in
        slow) sleep 10;;
        hangs) printf '{"jsonrpc":'; sleep 10; echo;;
        drips) while [ $n -lt 10 ]; do printf ' '; sleep 1; n=$((n+1)); done;;
        alive) while [ $n -lt 100 ]; do echo '{"jsonrpc":"2.0","method":"notifications/odd"}'; sleep 0.1; n=$((n+1)); done;;
        resets) kill -9 $$;;
        ends) printf '{"jsonrpc":"2.0","id":%s,' "$id"; exit;;
        garbage) while [ $n -lt 100 ]; do echo '{"id":no'; n=$((n+1)); done;;
        large) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' "$id"
          head -c 8388608 /dev/zero | tr '\0' x
          printf '"}]}}\n';;
      esac;;
    *)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}\n' "$id";;
  esac
done
"#;

pub(super) fn upstream(fault: Fault) -> Value {
    json!({ "kind": "mcp-stdio", "command": "sh", "args": ["-c", SCRIPT, fault.name()] })
}
