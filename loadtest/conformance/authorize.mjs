// Loaded before the suite: adds the capability token to each request that goes to the edge. The suite has no option for it.
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";

const { EDGE, TOKEN } = process.env;
const authorization = `Bearer ${TOKEN}`;
const edge = new URL(EDGE);
const meant = (url) => new URL(url).host === edge.host;

const fetched = globalThis.fetch;
globalThis.fetch = (input, init = {}) => {
  const url = typeof input === "string" || input instanceof URL ? input : input.url;
  if (!meant(url)) return fetched(input, init);
  const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
  headers.set("authorization", authorization);
  return fetched(input, { ...init, headers });
};

// One scenario speaks through undici, to set the Host header itself.
const { default: undici } = await import("undici").catch(() => ({ default: undefined }));
if (undici) {
  const dispatcher = undici.getGlobalDispatcher();
  undici.setGlobalDispatcher(
    dispatcher.compose((dispatch) => (options, handler) => {
      if (!meant(options.origin)) return dispatch(options, handler);
      const headers = { ...options.headers, authorization };
      return dispatch({ ...options, headers }, handler);
    }),
  );
}
void http;
void syncBuiltinESMExports;
