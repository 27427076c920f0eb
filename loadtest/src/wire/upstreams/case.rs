//! The faults of a tool server, and how it is reached that has them.

/// How the edge speaks to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transport {
    /// MCP 2026-07-28 over HTTP.
    Stateless,
    /// MCP 2025-11-25 over HTTP, in a session.
    Sessions,
    /// A plain HTTP API.
    Api,
    /// MCP over the standard streams of a child process.
    Child,
}

/// What a server does with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Slow,
    /// Stops in the middle of the answer.
    Hangs,
    /// A byte a second.
    Drips,
    /// Is gone before it says anything.
    Resets,
    /// Is gone in the middle of the answer.
    Ends,
    /// Is gone in the middle of a stream of events.
    Breaks,
    /// Not even HTTP.
    Noise,
    /// No JSON.
    Garbage,
    /// A large answer, and says so.
    Large,
    /// A large answer without a length.
    Unmeasured,
    /// Events without end, as fast as they are taken.
    Events,
    /// Signs of life without end.
    Alive,
}

/// A faulty server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Case {
    pub(super) transport: Transport,
    pub(super) fault: Fault,
}

impl Transport {
    const ALL: [Self; 4] = [Self::Stateless, Self::Sessions, Self::Api, Self::Child];

    fn name(self) -> &'static str {
        match self {
            Self::Stateless => "stateless",
            Self::Sessions => "sessions",
            Self::Api => "api",
            Self::Child => "child",
        }
    }
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::Slow,
        Self::Hangs,
        Self::Drips,
        Self::Resets,
        Self::Ends,
        Self::Breaks,
        Self::Noise,
        Self::Garbage,
        Self::Large,
        Self::Unmeasured,
        Self::Events,
        Self::Alive,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Hangs => "hangs",
            Self::Drips => "drips",
            Self::Resets => "resets",
            Self::Ends => "ends",
            Self::Breaks => "breaks",
            Self::Noise => "noise",
            Self::Garbage => "garbage",
            Self::Large => "large",
            Self::Unmeasured => "unmeasured",
            Self::Events => "events",
            Self::Alive => "alive",
        }
    }
}

impl Case {
    /// Each fault of each transport that can have it.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of = |transport| Fault::ALL.map(|fault| Self { transport, fault });
        let all = Transport::ALL.into_iter().flat_map(of);
        all.filter(|case| case.applies())
    }

    /// A child has neither HTTP nor lengths, and of lines without end only its own time is taken; an API has no streams.
    fn applies(self) -> bool {
        match self.transport {
            Transport::Stateless | Transport::Sessions => true,
            Transport::Api => self.fault != Fault::Breaks,
            Transport::Child => !matches!(
                self.fault,
                Fault::Breaks | Fault::Noise | Fault::Unmeasured | Fault::Events
            ),
        }
    }

    /// Also the server's id, and its path.
    pub(super) fn name(self) -> String {
        format!("{}-{}", self.transport.name(), self.fault.name())
    }

    /// What a call is refused for.
    pub(super) fn reason(self) -> &'static str {
        match (self.transport, self.fault) {
            (_, Fault::Slow | Fault::Hangs | Fault::Drips | Fault::Alive) => "output_timeout",
            (_, Fault::Resets | Fault::Ends | Fault::Breaks | Fault::Noise) => {
                "upstream_unavailable"
            }
            // One that writes what is no message is ended.
            (Transport::Child, Fault::Garbage) => "upstream_unavailable",
            (_, Fault::Garbage) => "output_invalid",
            (_, Fault::Large | Fault::Unmeasured | Fault::Events) => "output_too_large",
        }
    }

    /// Whether a call may be refused for this as well, for what its server did before: one that failed again and again is
    /// left alone for a while, and a child that ended, or was ended, is started anew only after a while.
    pub(super) fn is_consequence(self, reason: &str) -> bool {
        let gone = self.transport == Transport::Child && reason == "upstream_unavailable";
        gone || reason == "circuit_open"
    }
}
