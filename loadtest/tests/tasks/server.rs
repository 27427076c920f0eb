//! A tool server (made with the official Rust SDK) whose calls become tasks, which end when the test says so.

use proctor_loadtest::cluster::free_port;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock,
    CreateTaskResult, ElicitRequest, ElicitRequestParams, ElicitationSchema, ErrorData,
    GetTaskParams, GetTaskResult, InputRequest, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Worker {
    tasks: TaskManager,
    /// The ids that it gave out.
    pub(crate) ids: Arc<Mutex<Vec<String>>>,
    /// What it was answered.
    pub(crate) answered: Arc<Mutex<Vec<Value>>>,
    /// Tasks that wait end when this is set.
    pub(crate) done: watch::Sender<bool>,
}

fn object(value: Value) -> JsonObject {
    value.as_object().cloned().unwrap_or_default()
}

impl Worker {
    pub(crate) async fn start() -> (Self, String) {
        let worker = Self {
            tasks: TaskManager::new(),
            ids: Arc::default(),
            answered: Arc::default(),
            done: watch::channel(false).0,
        };
        let port = free_port().unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .unwrap();
        let config = StreamableHttpServerConfig::default().with_json_response(true);
        let served = worker.clone();
        let service: StreamableHttpService<Self, LocalSessionManager> =
            StreamableHttpService::new(move || Ok(served.clone()), Arc::default(), config);
        let router = axum::Router::new().nest_service("/mcp", service);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (worker, format!("http://127.0.0.1:{port}/mcp"))
    }

    async fn work(self, kind: String, task: TaskContext) -> Result<CallToolResult, TaskExit> {
        match kind.as_str() {
            "wait" => {
                let mut done = self.done.subscribe();
                tokio::select! {
                    _ = done.wait_for(|done| *done) => {}
                    () = task.cancelled() => return Err(TaskExit::Cancelled),
                }
                Ok(CallToolResult::success(vec![ContentBlock::text(
                    "it is done",
                )]))
            }
            "ask" => {
                let asked = ElicitRequestParams::FormElicitationParams {
                    meta: None,
                    message: "Your name?".into(),
                    requested_schema: ElicitationSchema::builder().build().unwrap(),
                };
                let asked = InputRequest::Elicitation(ElicitRequest::new(asked));
                let reply = task.request_input("q", asked).await?;
                let name = reply["content"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                self.answered.lock().unwrap().push(reply);
                Ok(CallToolResult::success(vec![ContentBlock::text(format!(
                    "hello {name}"
                ))]))
            }
            "misfit" => Ok(CallToolResult::structured(json!({ "total": "many" }))),
            "fits" => Ok(CallToolResult::structured(json!({ "total": 3 }))),
            _ => Err(TaskExit::Error(ErrorData::internal_error("it broke", None))),
        }
    }
}

impl ServerHandler for Worker {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_tools()
                .enable_tasks()
                .build(),
        )
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let input = Arc::new(object(json!({ "type": "object", "required": ["kind"],
            "properties": { "kind": { "type": "string" } } })));
        let output = Arc::new(object(json!({ "type": "object", "required": ["total"],
            "properties": { "total": { "type": "integer" } } })));
        Ok(ListToolsResult::with_all_items(vec![
            Tool::new("work", "Works", Arc::clone(&input)),
            Tool::new("count", "Counts", input).with_raw_output_schema(output),
        ]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !context
            .client_capabilities()
            .is_some_and(|declared| declared.supports_tasks())
        {
            let text = vec![ContentBlock::text("at once")];
            return Ok(CallToolResponse::Complete(CallToolResult::success(text)));
        }
        let arguments = request.arguments.unwrap_or_default();
        let kind = arguments["kind"].as_str().unwrap_or_default().to_owned();
        let worker = self.clone();
        let task = self.tasks.spawn(TaskOptions::new(), move |task| {
            Box::pin(worker.work(kind, task))
        });
        self.ids.lock().unwrap().push(task.task_id.clone());
        Ok(CallToolResponse::Task(CreateTaskResult::new(task)))
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.tasks
            .get_task(&request.task_id)
            .map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let responses = request.input_responses.into_iter();
        let responses = responses.map(|(key, reply)| (key, serde_json::to_value(reply).unwrap()));
        self.tasks.update_task(&request.task_id, responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }
}
