#!/usr/bin/env python3
"""A small intent extractor: proposes a declaration for a request in free text. docs/approvals.md says how it is used.

It stands where a language model, a form or a table of phrases would stand: this one takes the tools whose words occur in
the request, and asks a person for everything that moves money or leaves the house. Start it with a port to listen on.
"""
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ASK = {"financial", "outbound", "destructive", "execute"}


def words(text):
    return {word.rstrip("s") for word in re.findall(r"[a-z]{3,}", text.lower())}


def propose(request):
    wanted = words(request["goal"])
    actions = []
    for tool in request["tools"]:
        about = tool["tool"].replace("_", " ") + " " + (tool["description"] or "")
        if wanted & words(about):
            action = {"tool": tool["tool"], "max_calls": 3}
            if tool["verb"] in ASK:
                action["on_violation"] = "escalate"
            actions.append(action)
    declaration = {"agent": request["agent"], "goal": request["goal"], "actions": actions, "expires_in_s": 900}
    for member in ("user", "session"):
        if request[member] is not None:
            declaration[member] = request[member]
    return declaration


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = json.dumps(propose(request)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Requests are users' words: they are not logged."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(f"extractor on {server.server_address[1]}", flush=True)
    server.serve_forever()
