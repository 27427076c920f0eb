//! `proctor doctor`: what is missing or broken on this machine, and how to mend it.

use proctor_devstack::{Program, find_program};
use std::net::TcpListener;
use std::process::ExitCode;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut sound = true;
    let mut say = |ok: bool, what: &str, mend: &str| {
        sound &= ok;
        if ok {
            println!("ok       {what}")
        } else {
            println!("MISSING  {what}\n         {mend}")
        }
    };
    for (program, package) in [
        (Program::Postgres, "postgresql"),
        (Program::NatsServer, "nats-server"),
    ] {
        match find_program(program) {
            Ok(path) => say(
                true,
                &format!("{} ({})", program.name(), path.display()),
                "",
            ),
            Err(_) => say(
                false,
                program.name(),
                &format!("install it: apt-get install {package}"),
            ),
        }
    }
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"]
        .iter()
        .any(|path| std::path::Path::new(path).exists());
    say(
        setpriv,
        "setpriv (ends child servers with their parent)",
        "install it: apt-get install util-linux",
    );
    for (port, role) in [(8080, "edge"), (8081, "admin API"), (9090, "edge admin")] {
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        say(
            free,
            &format!("port {port} ({role}) is free"),
            "stop what listens there, or use `proctor dev --port-base N`",
        );
    }
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
