//! Connecting to NATS: always coming back, never writing a credential to a log.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::secret::Secret;

/// Time for one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that has been silent this long is asked for a sign of life; two missing answers
/// end it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Time for an answer to a request, JetStream's included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause between attempts to come back. Short: revocations wait behind it.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Messages that may wait unread in one subscription before the newest are dropped.
const SUBSCRIPTION_MESSAGES_MAX: usize = 16_384;
const POLL: Duration = Duration::from_millis(10);

/// Where NATS is and how to log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsSettings {
    /// One or more server URLs, separated by commas: `nats://` or, with TLS, `tls://`. A user and
    /// password in the first URL are used for all (percent-encoded where needed).
    pub url: Secret,
    /// Certificate authority (PEM file) for `tls://` URLs, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca_file: Option<PathBuf>,
    /// Credentials file (JWT and NKEY seed), instead of user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Where answers are taken, instead of `_INBOX`: with a place of one's own, nobody needs to be allowed to see all
    /// answers that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<String>,
}

impl NatsSettings {
    /// Just a URL.
    #[must_use]
    pub fn from_url(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            tls_ca_file: None,
            credentials_file: None,
            inbox: None,
        }
    }

    /// With another place for answers.
    #[must_use]
    pub fn with_inbox(self, inbox: String) -> Self {
        Self {
            inbox: Some(inbox),
            ..self
        }
    }
}

/// Why a connection could not even be attempted, or did not come up in time.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The URL setting cannot be used. Holds no part of it.
    #[error("the NATS URL is not usable: {problem}")]
    Url {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The credentials file cannot be read.
    #[error("cannot use the NATS credentials file")]
    Credentials(#[source] std::io::Error),
    /// The client refused to start (a certificate file, for example).
    #[error("cannot start the NATS client")]
    Client(#[source] async_nats::ConnectError),
    /// No server accepted us in time.
    #[error("not connected to NATS after {seconds} s")]
    NotConnected {
        /// How long was waited.
        seconds: u64,
    },
}

/// Starts a client that connects in the background, for ever, under `name` (seen by operators of
/// the server). What is published meanwhile waits in a bounded buffer.
///
/// # Errors
/// Settings that can never work.
pub async fn connect(settings: &NatsSettings, name: &str) -> Result<Client, NatsError> {
    let servers = Servers::parse(settings.url.expose())?;
    let mut options = ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
        .reconnect_delay_callback(reconnect_pause)
        .event_callback({
            let name = name.to_owned();
            move |event| {
                log_event(&name, &event);
                std::future::ready(())
            }
        });
    if let Some(inbox) = &settings.inbox {
        options = options.custom_inbox_prefix(inbox);
    }
    if let Some((user, password)) = servers.login {
        options = options.user_and_password(user, password);
    }
    if let Some(file) = &settings.credentials_file {
        let text = tokio::fs::read_to_string(file)
            .await
            .map_err(NatsError::Credentials)?;
        options = options.credentials(&text).map_err(NatsError::Credentials)?;
    }
    if let Some(file) = &settings.tls_ca_file {
        options = options
            .add_root_certificates(file.clone())
            .require_tls(true);
    }
    options
        .connect(servers.addresses)
        .await
        .map_err(NatsError::Client)
}

/// Waits until a client is connected.
///
/// # Errors
/// [`NatsError::NotConnected`] when it took longer than `patience`.
pub async fn wait_connected(client: &Client, patience: Duration) -> Result<(), NatsError> {
    let deadline = Instant::now() + patience;
    while client.connection_state() != State::Connected {
        if Instant::now() >= deadline {
            return Err(NatsError::NotConnected {
                seconds: patience.as_secs(),
            });
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Addresses without credentials (the client may log them), and the credentials by themselves.
struct Servers {
    addresses: Vec<ServerAddr>,
    login: Option<(String, String)>,
}

impl Servers {
    fn parse(urls: &str) -> Result<Self, NatsError> {
        let broken = |problem| NatsError::Url { problem };
        let mut servers = Self {
            addresses: Vec::new(),
            login: None,
        };
        for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            let full: ServerAddr = url
                .parse()
                .map_err(|_| broken("not a nats:// or tls:// URL"))?;
            if !matches!(full.scheme(), "nats" | "tls") {
                return Err(broken("not a nats:// or tls:// URL"));
            }
            if servers.login.is_none()
                && let Some(user) = full.username()
            {
                let password = full
                    .password()
                    .ok_or_else(|| broken("a user without a password"))?;
                let decode =
                    |text| percent_decode(text).ok_or_else(|| broken("bad percent-encoding"));
                servers.login = Some((decode(user)?, decode(password)?));
            }
            let clean = format!("{}://{}:{}", full.scheme(), full.host_url(), full.port());
            servers
                .addresses
                .push(clean.parse().map_err(|_| broken("no host"))?);
        }
        if servers.addresses.is_empty() {
            Err(broken("it is empty"))
        } else {
            Ok(servers)
        }
    }
}

/// An address as a URL writes it: IPv6 in brackets.
trait HostUrl {
    fn host_url(&self) -> String;
}

impl HostUrl for ServerAddr {
    fn host_url(&self) -> String {
        let host = self.host();
        if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn reconnect_pause(attempts: usize) -> Duration {
    Backoff::pause(RECONNECT_PAUSE_MIN, RECONNECT_PAUSE_MAX, attempts)
}

fn log_event(name: &str, event: &Event) {
    match event {
        Event::Connected => tracing::info!(client = name, "connected to NATS"),
        Event::Disconnected => tracing::warn!(client = name, "lost the connection to NATS"),
        Event::SlowConsumer(_) => {
            tracing::error!(
                client = name,
                "a NATS subscription is full; messages were dropped"
            );
        }
        Event::ServerError(error) => {
            tracing::warn!(client = name, %error, "NATS server reports an error")
        }
        Event::ClientError(error) => {
            tracing::debug!(client = name, %error, "NATS client reports an error")
        }
        Event::LameDuckMode | Event::Draining | Event::Closed => {
            tracing::info!(client = name, %event, "NATS connection changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_the_addresses() {
        let servers = Servers::parse(
            "nats://proctor:p%40ss@127.0.0.1:4333, tls://nats.example,nats://[::1]:5",
        )
        .unwrap();
        assert_eq!(servers.login, Some(("proctor".into(), "p@ss".into())));
        let shown = format!("{:?}", servers.addresses);
        assert!(
            !shown.contains("p%40ss") && !shown.contains("proctor"),
            "{shown}"
        );
        let hosts: Vec<_> = servers
            .addresses
            .iter()
            .map(|a| (a.host_url(), a.port()))
            .collect();
        assert_eq!(
            hosts,
            [
                ("127.0.0.1".into(), 4333),
                ("nats.example".into(), 4222),
                ("[::1]".into(), 5)
            ]
        );
    }

    #[test]
    fn unusable_urls_are_refused_without_echoing_them() {
        for url in [
            "",
            " , ",
            "nats://s3cret@host",
            "ws://s3cret:x@host",
            "nats://a:s3cret%zz@host",
            "http://s3cret:",
        ] {
            let error = Servers::parse(url).map(|_| ()).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("s3cret"),
                "{error:?}"
            );
        }
    }
}
