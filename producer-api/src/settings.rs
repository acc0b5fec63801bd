//! What a person writes: a TOML file, environment variables, flags. Turned into a [`Config`], every mistake named.

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use config::Environment;
use event_model::SpringTypes;
use producer_api::{Config, HouseLimit, UnknownDelivery};
use resident_token::{KeySource, Policy, Secret, Verifier};
use serde::Deserialize;
use service_kit::bounds::{Row, Shares};
use service_kit::settings_file;

const ENVIRONMENT_PREFIX: &str = "PRODUCER_API";
const SECRET_VARIABLE: &str = "MAYDAY_JWT_SECRET";
const LISTS: [&str; 3] = ["allowed_origins", "jwt_pem_files", "jwt_jwks_files"];

/// Every setting by its name in the file; what is left out keeps the default that [`Config`] states.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    listen: Option<SocketAddr>,
    /// An address, or `none`.
    admin: Option<String>,
    log: Option<String>,
    log_properties: Properties,
    /// A file with the HS256 secret; `MAYDAY_JWT_SECRET` comes before it.
    jwt_secret_file: Option<PathBuf>,
    jwt_pem_files: Vec<PathBuf>,
    jwt_jwks_files: Vec<PathBuf>,
    jwt_audience: Option<String>,
    jwt_issuer: Option<String>,
    jwt_bytes_max: Option<usize>,
    #[serde(with = "humantime_serde::option")]
    keys_reload_interval: Option<Duration>,
    /// `at-most-once`, `at-least-once` or `exactly-once`.
    delivery: Option<String>,
    allowed_origins: Vec<String>,
    #[serde(with = "humantime_serde::option")]
    deadline: Option<Duration>,
    body_bytes_max: Option<usize>,
    #[serde(with = "humantime_serde::option")]
    body_timeout: Option<Duration>,
    #[serde(with = "humantime_serde::option")]
    head_timeout: Option<Duration>,
    connections_max: Option<usize>,
    house_burst: Option<NonZeroU32>,
    #[serde(with = "humantime_serde::option")]
    house_interval: Option<Duration>,
    /// 0 for no limit.
    address_unverified_max: Option<u32>,
    alerts_in_flight_max: Option<usize>,
    accepts_in_flight_max: Option<usize>,
    replays_max: Option<usize>,
    outbox: Option<PathBuf>,
    outbox_bytes_max: Option<usize>,
    outbox_reserve_bytes: Option<u64>,
    #[serde(with = "humantime_serde::option")]
    retention: Option<Duration>,
    spring_types: Option<bool>,
    #[serde(with = "humantime_serde::option")]
    shutdown_grace: Option<Duration>,
}

/// librdkafka's own settings, among them passwords: shown by name only.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Properties(BTreeMap<String, String>);

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// Reads the file, then the environment, then the flags.
    pub(crate) fn read(
        file: Option<&Path>,
        flags: &[(&str, &Option<String>)],
    ) -> anyhow::Result<Self> {
        let mut sources = config::Config::builder();
        if let Some(file) = file {
            sources = sources.add_source(settings_file::toml(file)?);
        }
        let environment = LISTS.iter().fold(
            Environment::with_prefix(ENVIRONMENT_PREFIX)
                .try_parsing(true)
                .list_separator(","),
            |environment, list| environment.with_list_parse_key(list),
        );
        sources = sources.add_source(environment.source(Some(variables())));
        for (name, value) in flags {
            sources = sources.set_override_option(*name, (*value).clone())?;
        }
        let settings = sources.build().and_then(config::Config::try_deserialize);
        settings
            .map_err(|error| settings_file::without_values(&error))
            .context("read the settings")
    }

    /// Key files that flags name, beside those of the file.
    pub(crate) fn add_key_files(&mut self, pem: Option<PathBuf>, jwks: Option<PathBuf>) {
        self.jwt_pem_files.extend(pem);
        self.jwt_jwks_files.extend(jwks);
    }

    /// The service's configuration.
    pub(crate) fn into_config(self) -> anyhow::Result<Config> {
        let verifier = Arc::new(self.verifier()?);
        let listen = self
            .listen
            .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 8082)));
        let log = self
            .log
            .clone()
            .unwrap_or_else(|| "127.0.0.1:9092".to_owned());
        let mut config = Config::new(listen, log, verifier);
        config.admin = self.admin_address()?.unwrap_or(config.admin);
        if let Some(max) = self.address_unverified_max {
            config.address_unverified_max = NonZeroU32::new(max);
        }
        if self.spring_types == Some(false) {
            config.spring_types = SpringTypes::Omitted;
        }
        config.log_properties = self.log_properties.0;
        let delivery = self.delivery.as_deref().map(str::parse).transpose();
        set_if_some(
            &mut config.delivery,
            delivery.map_err(|error: UnknownDelivery| anyhow!("delivery: {error}"))?,
        );
        config.allowed_origins = self.allowed_origins;
        config.house_limit = HouseLimit {
            burst: self.house_burst.unwrap_or(config.house_limit.burst),
            interval: self.house_interval.unwrap_or(config.house_limit.interval),
        };
        set_if_some(&mut config.keys_reload_interval, self.keys_reload_interval);
        set_if_some(&mut config.deadline, self.deadline);
        set_if_some(&mut config.body_bytes_max, self.body_bytes_max);
        set_if_some(&mut config.body_timeout, self.body_timeout);
        set_if_some(&mut config.head_timeout, self.head_timeout);
        let connections = [(Row::ApiConnections, self.connections_max)];
        let shares = Shares::of_process(&connections).context("connections_max")?;
        config.connections_max = shares.of(Row::ApiConnections);
        set_if_some(&mut config.alerts_in_flight_max, self.alerts_in_flight_max);
        set_if_some(
            &mut config.accepts_in_flight_max,
            self.accepts_in_flight_max,
        );
        set_if_some(&mut config.replays_max, self.replays_max);
        config.outbox = self.outbox;
        set_if_some(&mut config.outbox_bytes_max, self.outbox_bytes_max);
        set_if_some(&mut config.outbox_reserve_bytes, self.outbox_reserve_bytes);
        set_if_some(&mut config.retention, self.retention);
        set_if_some(&mut config.shutdown_grace, self.shutdown_grace);
        Ok(config)
    }

    fn admin_address(&self) -> anyhow::Result<Option<Option<SocketAddr>>> {
        match self.admin.as_deref() {
            None => Ok(None),
            Some("none") => Ok(Some(None)),
            Some(address) => {
                let address = address.parse().with_context(|| {
                    format!("admin: {address:?} is neither none nor an address")
                })?;
                Ok(Some(Some(address)))
            }
        }
    }

    fn verifier(&self) -> anyhow::Result<Verifier> {
        let mut keys: Vec<KeySource> = self.secret()?.map(KeySource::Secret).into_iter().collect();
        keys.extend(self.jwt_pem_files.iter().cloned().map(KeySource::PemFile));
        keys.extend(self.jwt_jwks_files.iter().cloned().map(KeySource::JwksFile));
        let mut policy = Policy {
            audience: self.jwt_audience.clone(),
            issuer: self.jwt_issuer.clone(),
            ..Policy::default()
        };
        set_if_some(&mut policy.token_bytes_max, self.jwt_bytes_max);
        let how =
            format!("set {SECRET_VARIABLE}, jwt_secret_file, jwt_pem_files or jwt_jwks_files");
        Verifier::open(keys, policy).with_context(|| format!("keys for tokens ({how})"))
    }

    fn secret(&self) -> anyhow::Result<Option<Secret>> {
        if let Ok(secret) = env::var(SECRET_VARIABLE) {
            return Ok(Some(Secret::new(secret).context(SECRET_VARIABLE)?));
        }
        let Some(file) = &self.jwt_secret_file else {
            return Ok(None);
        };
        let secret = resident_token::read_file(file)
            .with_context(|| format!("read jwt_secret_file {}", file.display()))?;
        Ok(Some(Secret::new(secret).with_context(|| {
            format!("jwt_secret_file {}", file.display())
        })?))
    }
}

/// Our variables, less the one that a flag of ours reads by itself.
fn variables() -> std::collections::HashMap<String, String> {
    let ours = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    ours.filter(|(name, _)| {
        name.starts_with(ENVIRONMENT_PREFIX) && name != "PRODUCER_API_LOG_FORMAT"
    })
    .collect()
}

fn set_if_some<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use producer_api::Delivery;

    use super::*;

    fn read(toml: &str, flags: &[(&str, &Option<String>)]) -> anyhow::Result<Settings> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(toml.as_bytes()).unwrap();
        Settings::read(Some(file.path()), flags)
    }

    fn secret_file() -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"a secret of at least thirty-two bytes!\n")
            .unwrap();
        file
    }

    #[test]
    fn what_the_file_says_is_set_and_the_rest_keeps_its_default() {
        let secret = secret_file();
        let settings = read(
            &format!(
                "jwt_secret_file = {:?}\ndeadline = \"1500ms\"\nhouse_burst = 9\nallowed_origins = [\"https://a.example\"]\n\
                 [log_properties]\n\"sasl.password\" = \"hush\"\n",
                secret.path()
            ),
            &[("log", &Some("broker:9092".to_owned()))],
        )
        .unwrap();
        assert!(!format!("{settings:?}").contains("hush"));

        let config = settings.into_config().unwrap();

        assert_eq!(config.deadline, Duration::from_millis(1500));
        assert_eq!(config.house_limit.burst.get(), 9);
        assert_eq!(config.house_limit.interval, HouseLimit::default().interval);
        assert_eq!(config.allowed_origins, ["https://a.example"]);
        assert_eq!(config.log_properties["sasl.password"], "hush");
        assert_eq!(config.log, "broker:9092");
        assert_eq!(config.listen.port(), 8082);
        assert_eq!(config.mistakes(), Vec::<String>::new());
    }

    #[test]
    fn delivery_is_written_in_kafkas_words() {
        let secret = secret_file();
        let delivery = |name: &str| {
            let flags = [("delivery", &Some(name.to_owned()))];
            let settings = read(&format!("jwt_secret_file = {:?}\n", secret.path()), &flags)?;
            Ok::<_, anyhow::Error>(settings.into_config()?.delivery)
        };

        assert_eq!(delivery("at-most-once").unwrap(), Delivery::AtMostOnce);
        assert_eq!(delivery("at-least-once").unwrap(), Delivery::AtLeastOnce);
        assert_eq!(delivery("exactly-once").unwrap(), Delivery::ExactlyOnce);
        assert!(format!("{:#}", delivery("twice").unwrap_err()).contains("at-most-once"));
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let refused = format!("{:#}", read("dead_line = \"2s\"\n", &[]).unwrap_err());

        assert!(refused.contains("dead_line"), "{refused}");
    }

    #[test]
    fn an_operators_listener_can_be_left_out_and_a_wrong_address_is_named() {
        let secret = secret_file();
        let config = |admin: &str| {
            read(
                &format!("jwt_secret_file = {:?}\nadmin = {admin:?}\n", secret.path()),
                &[],
            )
            .unwrap()
            .into_config()
        };

        assert_eq!(config("none").unwrap().admin, None);
        assert_eq!(
            config("127.0.0.1:1").unwrap().admin,
            Some(SocketAddr::from(([127, 0, 0, 1], 1)))
        );
        assert!(format!("{:#}", config("nowhere").err().unwrap()).contains("nowhere"));
    }
}
