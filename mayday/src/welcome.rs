//! What a newcomer needs after the start, in the order of need.

use std::time::Duration;

use resident_token::Secret;
use service_kit::Failure;
use service_kit::bounds::Shares;

use crate::addresses::Addresses;
use crate::cli::{DEMO_CALLER, DEMO_LINE, DEMO_NEIGHBOUR};
use crate::data_folder::DataFolder;
use crate::identity;

/// How long the printed tokens are good for.
const TOKENS_LAST: Duration = Duration::from_secs(24 * 60 * 60);

/// Addresses, two ready tokens, and the lines that try them.
pub(crate) fn text(
    addresses: &Addresses,
    bounds: &Shares,
    folder: &DataFolder,
    secret: &Secret,
) -> Result<String, Failure> {
    let Addresses {
        api,
        gateway,
        page,
        log,
        admin,
    } = addresses;
    let caller = identity::issue(secret, DEMO_LINE, DEMO_CALLER, TOKENS_LAST)?;
    let neighbour = identity::issue(secret, DEMO_LINE, DEMO_NEIGHBOUR, TOKENS_LAST)?;
    let data = folder.path().display();
    Ok(format!(
        r#"Mayday is ready. It does not call the emergency services.

  residents' page   {page}/#token={neighbour}
                    (house {DEMO_NEIGHBOUR} of the demo complex {DEMO_LINE})
  api               {api}
  gateway           {gateway}
  log               {log} (Kafka protocol)   metrics {admin}/metrics
  data folder       {data}
  bounds            {bounds}

Raise an alert as house {DEMO_CALLER}, in another terminal:

  curl -X POST {api}/alert -H 'Content-Type: application/json' \
    -H 'Authorization: Bearer {caller}' \
    -d '{{"line":"{DEMO_LINE}","house":"{DEMO_CALLER}","text":"help","lat":"37.5665","lng":"126.9780"}}'

Accept it as house {DEMO_NEIGHBOUR}:

  curl -X POST {api}/accept -H 'Content-Type: application/json' \
    -H 'Authorization: Bearer {neighbour}' \
    -d '{{"line":"{DEMO_LINE}","acceptHouse":"{DEMO_NEIGHBOUR}","targetHouse":"{DEMO_CALLER}"}}'

The same with this program: mayday watch, mayday send, mayday accept (mayday --help tells all). Ctrl-C ends it.
"#
    ))
}
