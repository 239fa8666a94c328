//! The echo of the terminal, which is off while a password is typed and must come back however the program ends.

use std::io;

/// Runs a prompt that turns the echo off. Fails as interrupted once the program is ending.
pub(crate) fn without_echo<T>(prompt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    imp::without_echo(prompt)
}

/// Gives the terminal back as it was before a prompt that is still there, and lets no other one begin. The program must end
/// right after.
pub(crate) async fn give_back() {
    imp::give_back().await;
}

#[cfg(unix)]
mod imp {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// How long a prompt that was about to turn the echo off is waited for.
    const POLLS: u32 = 20;
    const POLL: Duration = Duration::from_millis(5);

    struct Prompt {
        terminal: File,
        before: Termios,
    }

    #[derive(Default)]
    struct State {
        prompt: Option<Prompt>,
        ending: bool,
    }

    static STATE: Mutex<State> = Mutex::new(State {
        prompt: None,
        ending: false,
    });

    fn state() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn without_echo<T>(prompt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        {
            let mut state = state();
            if state.ending {
                return Err(io::ErrorKind::Interrupted.into());
            }
            // The prompt uses it too, whatever stdin is. It says itself what is wrong where there is none.
            state.prompt = open().ok();
        }
        let answer = prompt();
        state().prompt = None;
        answer
    }

    fn open() -> io::Result<Prompt> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        Ok(Prompt { terminal, before })
    }

    pub(super) async fn give_back() {
        state().ending = true;
        // The thread of the prompt may be just before turning the echo off, which would then stay off.
        for _ in 0..POLLS {
            if !is_about_to_hide() {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        if let Some(Prompt { terminal, before }) = &state().prompt {
            let _ = tcsetattr(terminal, OptionalActions::Now, before);
        }
    }

    fn is_about_to_hide() -> bool {
        state().prompt.as_ref().is_some_and(|prompt| {
            tcgetattr(&prompt.terminal).is_ok_and(|now| now.local_modes.contains(LocalModes::ECHO))
        })
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;

    pub(super) fn without_echo<T>(prompt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        prompt()
    }

    pub(super) async fn give_back() {}
}
