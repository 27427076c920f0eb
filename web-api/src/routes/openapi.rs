//! `/v1/tenants/{tenant}/tool-servers/{id}/openapi`: tools of a plain HTTP API from its OpenAPI document.

use crate::Api;
use crate::auth::Principal;
use crate::body::{Expected, Params, Path, Upload, bytes, document, etag};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// An OpenAPI document, and how its API is reached.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Imported {
    /// The document (3.0 or 3.1): an object, or its text, JSON or YAML, of at most 3 MiB
    #[schema(value_type = Object)]
    document: Value,
    /// The address that its paths stand below; the first of its servers if it is left out
    #[schema(example = "https://api.crm.example/v1")]
    url: Option<String>,
    /// The credential that goes with each request, as `upstream.auth` of a tool server
    #[schema(value_type = Option<Object>)]
    auth: Option<Value>,
    /// As `upstream.tls` of a tool server
    #[schema(value_type = Option<Object>)]
    tls: Option<Value>,
    /// The API stands in the edges' own network; needs a platform key
    #[serde(default)]
    private_addresses: bool,
    /// Time limit of one call, in milliseconds
    timeout_ms: Option<u32>,
    /// Largest answer, in bytes
    result_bytes_max: Option<u32>,
    /// Tools declare what they answer, where the document says it; an answer that does not fit is withheld
    #[serde(default)]
    output_schemas: bool,
    /// Approve definitions too in which something stands out: text that is not seen as it is, orders to the model
    #[serde(default)]
    accept_findings: bool,
}

impl Imported {
    /// The document's text, and the rest of what control is to know.
    fn parts(self) -> Result<(String, Map<String, Value>), Problem> {
        let openapi = match self.document {
            Value::String(text) => text,
            object @ Value::Object(_) => object.to_string(),
            _ => return Err(Problem::bad_request("document: an object or a text")),
        };
        let settings = [
            ("url", self.url.map(Value::from)),
            ("auth", self.auth),
            ("tls", self.tls),
            ("private_addresses", Some(self.private_addresses.into())),
            ("timeout_ms", self.timeout_ms.map(Value::from)),
            ("result_bytes_max", self.result_bytes_max.map(Value::from)),
            // Only where it is wanted: a control that is older knows nothing of it.
            (
                "output_schemas",
                self.output_schemas.then_some(Value::Bool(true)),
            ),
        ];
        let said = settings
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok((openapi, said.collect()))
    }
}

/// Whether it is only tried.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Try {
    /// Check all of it and show the server as it would be, but change nothing
    #[serde(default)]
    dry_run: bool,
}

/// What became of a document.
#[derive(Serialize, ToSchema)]
pub(crate) struct Import {
    /// The tool server as it is now; in a dry run, as it would be
    #[schema(value_type = Object)]
    tool_server: Value,
    /// Operations that are no tools, parameters that tools do without and answers that nothing is declared of, each with the reason
    #[schema(example = json!(["POST /photos: its body is neither JSON nor a form"]))]
    left_out: Vec<String>,
    /// Tools that are not approved, as something stands out in their definitions
    held_back: Vec<Held>,
}

/// A tool that is held back.
#[derive(Serialize, ToSchema)]
pub(crate) struct Held {
    tool: String,
    /// What stands out first
    #[schema(example = "instruction")]
    oddity: String,
    /// Where: a JSON Pointer into the definition
    #[schema(example = "/description")]
    at: String,
}

/// Make or replace a tool server from an OpenAPI document
///
/// Each operation becomes a tool; `GET` and `HEAD` are labelled `read`, `DELETE` `destructive`, the others `write`. A document
/// in which something is wrong is refused as a whole, and the detail says what. With `dry_run` nothing is changed.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/tool-servers/{id}/openapi", tag = "tool-servers", operation_id = "importOpenApi",
    request_body = Imported,
    params(Try, ("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 200, description = "What became of it; with its `ETag`, unless it is only tried", body = Import)))]
pub(crate) async fn import(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Params(only): Params<Try>,
    Expected(expected_version): Expected,
    Upload(imported): Upload<Imported>,
) -> Result<(HeaderMap, Json<Import>), Problem> {
    let accept_findings = imported.accept_findings;
    let (openapi, settings) = imported.parts()?;
    let request = v1::ImportOpenApiRequest {
        tenant,
        id,
        openapi,
        settings: bytes(&Value::Object(settings))?,
        accept_findings,
        dry_run: only.dry_run,
        expected_version,
    };
    let done = api.control(&principal)?.import_open_api(request).await?;
    let done = done.into_inner();
    let server = done.server.ok_or_else(Problem::internal)?;
    let headers = match only.dry_run {
        true => HeaderMap::new(),
        false => etag(server.version),
    };
    let import = Import {
        tool_server: document(&server.document)?,
        left_out: done.left_out,
        held_back: done.held_back.into_iter().map(held).collect(),
    };
    Ok((headers, Json(import)))
}

fn held(held: v1::HeldDefinition) -> Held {
    Held {
        tool: held.tool,
        oddity: held.oddity,
        at: held.at,
    }
}
