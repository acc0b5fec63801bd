//! The task that keeps the keys as their files have them.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::{error, info, warn};

use crate::{KeyError, Reload, Verifier};

/// Reads the key files again after each `interval`: for so long a new key is unknown, and a withdrawn one is in use. What
/// cannot be read leaves the keys as they are. Runs until it is dropped.
pub async fn keep_reloading(verifier: Arc<Verifier>, interval: Duration) {
    keep_calling(interval, move || verifier.reload()).await;
}

/// A panic is an error in our code, and must not leave the keys as they were for as long as the process lives.
async fn keep_calling<F>(interval: Duration, reload: F)
where
    F: Fn() -> Result<Reload, KeyError> + Clone + Send + 'static,
{
    loop {
        sleep(interval).await;
        match spawn_blocking(reload.clone()).await {
            Ok(Ok(Reload::Unchanged)) => {}
            Ok(Ok(Reload::Changed)) => info!("the keys for tokens changed"),
            Ok(Err(error)) => warn!(
                error = &error as &dyn std::error::Error,
                "the keys for tokens stay as they were"
            ),
            Err(panic) => error!(
                error = &panic as &dyn std::error::Error,
                "reading the keys for tokens panicked: they stay as they were"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_keys_are_read_again_after_a_reading_that_panicked() {
        let readings = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&readings);
        let reload = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("as told by the test");
        };
        let read_again = async {
            while readings.load(Ordering::Relaxed) < 2 {
                sleep(Duration::from_millis(1)).await;
            }
        };

        tokio::select! {
            () = keep_calling(Duration::from_millis(1), reload) => panic!("it ended"),
            () = sleep(Duration::from_secs(30)) => panic!("not read again in time"),
            () = read_again => {}
        }
    }
}
