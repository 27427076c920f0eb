//! The tools as MCP servers over streamable HTTP: `/bank/mcp`, `/mail/mcp` and `/files/mcp` on one listener.

use crate::tools::{Service, World};
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct DemoServer {
    service: Service,
    world: Arc<World>,
}

impl ServerHandler for DemoServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(
            Implementation::new(
                format!("demo-{}", self.service.id()),
                env!("CARGO_PKG_VERSION"),
            ),
        )
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(definitions(self.service)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let result = match self.world.call(self.service, &request.name, &arguments) {
            Ok(value) => CallToolResult::structured(value),
            Err(sentence) => CallToolResult::error(vec![ContentBlock::text(sentence)]),
        };
        Ok(CallToolResponse::Complete(result))
    }
}

fn definitions(service: Service) -> Vec<Tool> {
    let definition = |(name, description, properties): (&'static str, &'static str, Value)| {
        let required: Vec<_> = properties
            .as_object()
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default();
        let schema = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        let schema: JsonObject = schema.as_object().cloned().unwrap_or_default();
        Tool::new(name, description, Arc::new(schema))
    };
    service.tools().into_iter().map(definition).collect()
}

/// The `tools/list` elements of a service, as its server sends them.
#[must_use]
pub fn listed_tools(service: Service) -> Vec<Value> {
    definitions(service)
        .into_iter()
        .filter_map(|tool| serde_json::to_value(tool).ok())
        .collect()
}

/// The running demo servers.
#[derive(Debug)]
pub struct DemoServers {
    /// Where they listen.
    pub addr: SocketAddr,
    /// Their data.
    pub world: Arc<World>,
    task: JoinHandle<()>,
}

impl DemoServers {
    /// Serves on `listen` until `shutdown`.
    ///
    /// # Errors
    /// If the address can't be bound.
    pub async fn start(listen: SocketAddr, shutdown: CancellationToken) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let world = Arc::new(World::default());
        let mut router = axum::Router::new();
        for service in Service::ALL {
            let server = DemoServer {
                service,
                world: Arc::clone(&world),
            };
            let config = StreamableHttpServerConfig::default()
                .with_json_response(true)
                .with_cancellation_token(shutdown.child_token());
            let mcp: StreamableHttpService<DemoServer, LocalSessionManager> =
                StreamableHttpService::new(move || Ok(server.clone()), Arc::default(), config);
            router = router.nest_service(&format!("/{}/mcp", service.id()), mcp);
        }
        let task = tokio::spawn(async move {
            let stop = shutdown.cancelled_owned();
            if let Err(error) = axum::serve(listener, router)
                .with_graceful_shutdown(stop)
                .await
            {
                tracing::error!(%error, "the demo servers stopped");
            }
        });
        Ok(Self { addr, world, task })
    }

    /// The MCP endpoint of one of them.
    #[must_use]
    pub fn url(&self, service: Service) -> String {
        format!("http://{}/{}/mcp", self.addr, service.id())
    }

    /// Waits until they have stopped.
    pub async fn stopped(self) {
        if self.task.await.is_err() {
            tracing::error!("the demo servers' task failed");
        }
    }
}
