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

use clap::Parser;
use event_model::SpringTypes;
use producer_api::{Config, Delivery, HouseLimit};
use resident_token::{KeyError, KeySource, Policy, Secret, Verifier};
use serde::Deserialize;
use service_kit::{
    bounds::{Row, Shares},
    settings::{CommandLine, Mistakes, from_text},
};

const ENVIRONMENT_PREFIX: &str = "PRODUCER_API";
const SECRET_VARIABLE: &str = "MAYDAY_JWT_SECRET";

/// Every setting by its name in the file; what is left out keeps the default that [`Config`] states.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where residents' calls come in [default: 0.0.0.0:8082].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where an operator looks: /metrics, /healthz, /readyz; or `none` [default: 127.0.0.1:9082].
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// The log: Kafka's bootstrap.servers [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT,..", env = "MAYDAY_LOG")]
    log: Option<String>,
    #[arg(skip)]
    log_properties: Properties,
    /// A file with the HS256 secret; the secret in MAYDAY_JWT_SECRET comes before it.
    #[arg(long, value_name = "FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// A file with the public key of the issuer of tokens: RSA, P-256 or Ed25519. May be given several times.
    #[arg(
        long = "jwt-pem",
        value_name = "FILE",
        env = "MAYDAY_JWT_PEM",
        value_delimiter = ','
    )]
    jwt_pem_files: Vec<PathBuf>,
    /// A file with the JWK Set of the issuer of tokens; read again when it changes. May be given several times.
    #[arg(
        long = "jwt-jwks",
        value_name = "FILE",
        env = "MAYDAY_JWT_JWKS",
        value_delimiter = ','
    )]
    jwt_jwks_files: Vec<PathBuf>,
    /// What a token's `aud` must name [default: anything].
    #[arg(long)]
    jwt_audience: Option<String>,
    /// What a token's `iss` must be [default: anything].
    #[arg(long)]
    jwt_issuer: Option<String>,
    /// The longest token that is read, in bytes [default: 8192].
    #[arg(long, value_name = "BYTES")]
    jwt_bytes_max: Option<usize>,
    /// How often key files are read again [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    keys_reload_interval: Option<Duration>,
    /// at-most-once, at-least-once or exactly-once [default: exactly-once].
    #[arg(long, value_name = "HOW_OFTEN")]
    #[serde(deserialize_with = "from_text")]
    delivery: Option<Delivery>,
    /// Origins whose pages may call; `*` for all [default: none].
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    allowed_origins: Vec<String>,
    /// How long a call may take to reach the log [default: 2s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    deadline: Option<Duration>,
    /// How much of a body is read, in bytes [default: 16384].
    #[arg(long, value_name = "BYTES")]
    body_bytes_max: Option<usize>,
    /// How long a body may take to arrive [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    body_timeout: Option<Duration>,
    /// How long a request's head may take to arrive [default: 20s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    head_timeout: Option<Duration>,
    /// Connections at once [default: from the limit of open files].
    #[arg(long)]
    connections_max: Option<usize>,
    /// Calls of one house at once [default: 5].
    #[arg(long)]
    house_burst: Option<NonZeroU32>,
    /// One more after each of these [default: 20s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    house_interval: Option<Duration>,
    /// Requests without a good token that one address may send a minute; 0 for no limit [default: 5000].
    #[arg(long)]
    address_unverified_max: Option<u32>,
    /// Alerts on their way to the log at once [default: 4096].
    #[arg(long)]
    alerts_in_flight_max: Option<usize>,
    /// Accepts on their way to the log at once [default: 1024].
    #[arg(long)]
    accepts_in_flight_max: Option<usize>,
    /// How many of the last calls are remembered by id and Idempotency-Key [default: 65536].
    #[arg(long)]
    replays_max: Option<usize>,
    /// The folder in which calls wait that the log does not take in time [default: none, they are refused].
    #[arg(long, value_name = "FOLDER")]
    outbox: Option<PathBuf>,
    /// The most bytes of calls that wait there [default: 67108864].
    #[arg(long, value_name = "BYTES")]
    outbox_bytes_max: Option<usize>,
    /// What the outbox holds of the disk from the start, in bytes [default: 67108864].
    #[arg(long, value_name = "BYTES")]
    outbox_reserve_bytes: Option<u64>,
    /// How long new topics keep calls [default: 400 days].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    retention: Option<Duration>,
    /// Whether records carry the type headers of the original system [default: true].
    #[arg(long, value_name = "TRUE_OR_FALSE")]
    spring_types: Option<bool>,
    /// How long calls under way may take to end when the service stops [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    shutdown_grace: Option<Duration>,
}

/// librdkafka's own settings, among them passwords: shown by name only.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
struct Properties(BTreeMap<String, String>);

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// Reads the file, then the environment, then what was given on the command line.
    pub(crate) fn read<A: Parser>(
        line: &CommandLine<A>,
        file: Option<&Path>,
        mistakes: &mut Mistakes,
    ) -> Self {
        line.settings_with_variables(file, ENVIRONMENT_PREFIX, mistakes)
    }

    /// The service's configuration; every mistake is noted.
    pub(crate) fn into_config(self, mistakes: &mut Mistakes) -> Config {
        let verifier = mistakes.ok(
            "keys for tokens (MAYDAY_JWT_SECRET, jwt_secret_file, jwt_pem_files or jwt_jwks_files)",
            self.verifier(),
        );
        let verifier = verifier.unwrap_or_else(Verifier::refusing_all);
        let listen = self
            .listen
            .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 8082)));
        let log = self.log.unwrap_or_else(|| "127.0.0.1:9092".to_owned());
        let config = Config::new(listen, log, Arc::new(verifier));
        let bounds = Shares::of_process(&[(Row::ApiConnections, self.connections_max)]);
        let bounds = mistakes.ok("connections_max", bounds);
        let config = Config {
            admin: admin_address(self.admin.as_deref(), config.admin, mistakes),
            log_properties: self.log_properties.0,
            keys_reload_interval: self
                .keys_reload_interval
                .unwrap_or(config.keys_reload_interval),
            delivery: self.delivery.unwrap_or(config.delivery),
            allowed_origins: self.allowed_origins,
            deadline: self.deadline.unwrap_or(config.deadline),
            body_bytes_max: self.body_bytes_max.unwrap_or(config.body_bytes_max),
            body_timeout: self.body_timeout.unwrap_or(config.body_timeout),
            head_timeout: self.head_timeout.unwrap_or(config.head_timeout),
            connections_max: bounds.map_or(config.connections_max, |bounds| {
                bounds.of(Row::ApiConnections)
            }),
            house_limit: HouseLimit {
                burst: self.house_burst.unwrap_or(config.house_limit.burst),
                interval: self.house_interval.unwrap_or(config.house_limit.interval),
            },
            address_unverified_max: self
                .address_unverified_max
                .map_or(config.address_unverified_max, NonZeroU32::new),
            alerts_in_flight_max: self
                .alerts_in_flight_max
                .unwrap_or(config.alerts_in_flight_max),
            accepts_in_flight_max: self
                .accepts_in_flight_max
                .unwrap_or(config.accepts_in_flight_max),
            replays_max: self.replays_max.unwrap_or(config.replays_max),
            outbox: self.outbox,
            outbox_bytes_max: self.outbox_bytes_max.unwrap_or(config.outbox_bytes_max),
            outbox_reserve_bytes: self
                .outbox_reserve_bytes
                .unwrap_or(config.outbox_reserve_bytes),
            retention: self.retention.unwrap_or(config.retention),
            spring_types: match self.spring_types {
                Some(false) => SpringTypes::Omitted,
                Some(true) | None => config.spring_types,
            },
            shutdown_grace: self.shutdown_grace.unwrap_or(config.shutdown_grace),
            ..config
        };
        mistakes.extend(config.mistakes());
        config
    }

    fn verifier(&self) -> Result<Verifier, KeyError> {
        let secret = match env::var(SECRET_VARIABLE) {
            Ok(secret) => Some(KeySource::Secret(Secret::new(secret)?)),
            Err(_) => self.jwt_secret_file.clone().map(KeySource::SecretFile),
        };
        let pem = self.jwt_pem_files.iter().cloned().map(KeySource::PemFile);
        let jwks = self.jwt_jwks_files.iter().cloned().map(KeySource::JwksFile);
        let policy = Policy::default();
        let policy = Policy {
            audience: self.jwt_audience.clone(),
            issuer: self.jwt_issuer.clone(),
            token_bytes_max: self.jwt_bytes_max.unwrap_or(policy.token_bytes_max),
        };
        Verifier::open(secret.into_iter().chain(pem).chain(jwks).collect(), policy)
    }
}

/// `none`: no such listener.
fn admin_address(
    setting: Option<&str>,
    default: Option<SocketAddr>,
    mistakes: &mut Mistakes,
) -> Option<SocketAddr> {
    match setting {
        None => default,
        Some("none") => None,
        Some(address) => {
            let parsed = address.parse().ok();
            if parsed.is_none() {
                mistakes.add(format!("admin: {address:?} is neither none nor an address"));
            }
            parsed
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use service_kit::settings::SettingsError;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(toml: &str, arguments: &[&str], mistakes: &mut Mistakes) -> Settings {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(toml.as_bytes()).unwrap();
        let arguments = ["producer-api"].iter().chain(arguments);
        let line = CommandLine::<Line>::parse_from(arguments.copied()).unwrap();
        Settings::read(&line, Some(file.path()), mistakes)
    }

    /// With a secret.
    fn config(toml: &str, arguments: &[&str]) -> Result<Config, SettingsError> {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        secret
            .write_all(b"a secret of at least thirty-two bytes!\n")
            .unwrap();
        let toml = format!("jwt_secret_file = {:?}\n{toml}", secret.path());
        let mut mistakes = Mistakes::default();
        let config = settings(&toml, arguments, &mut mistakes).into_config(&mut mistakes);
        mistakes.none().map(|()| config)
    }

    fn refused(toml: &str, arguments: &[&str]) -> String {
        config(toml, arguments).err().unwrap().to_string()
    }

    #[test]
    fn what_the_file_says_is_set_and_the_rest_keeps_its_default() {
        let toml = "deadline = \"1500ms\"\nhouse_burst = 9\nallowed_origins = [\"https://a.example\"]\n\
                    [log_properties]\n\"sasl.password\" = \"hush\"\n";
        let shown = format!("{:?}", settings(toml, &[], &mut Mistakes::default()));
        assert!(shown.contains("sasl.password") && !shown.contains("hush"));

        let config = config(toml, &["--log", "broker:9092"]).unwrap();

        assert_eq!(config.deadline, Duration::from_millis(1500));
        assert_eq!(config.house_limit.burst.get(), 9);
        assert_eq!(config.house_limit.interval, HouseLimit::default().interval);
        assert_eq!(config.allowed_origins, ["https://a.example"]);
        assert_eq!(config.log_properties["sasl.password"], "hush");
        assert_eq!(config.log, "broker:9092");
        assert_eq!(config.listen.port(), 8082);
    }

    #[test]
    fn every_setting_of_the_file_has_a_flag_that_wins() {
        let toml = "address_unverified_max = 9\nspring_types = true\nretention = \"1day\"\noutbox = \"a\"\n";
        let flags = [
            "--address-unverified-max",
            "0",
            "--spring-types",
            "false",
            "--retention",
            "2days",
            "--outbox",
            "b",
        ];

        let config = config(toml, &flags).unwrap();

        assert_eq!(config.address_unverified_max, None);
        assert_eq!(config.spring_types, SpringTypes::Omitted);
        assert_eq!(config.retention, Duration::from_secs(2 * 86_400));
        assert_eq!(config.outbox, Some(PathBuf::from("b")));
    }

    #[test]
    fn delivery_is_written_in_kafkas_words() {
        let delivery = |name: &str| config(&format!("delivery = {name:?}\n"), &[]);

        for (name, expected) in [
            ("at-most-once", Delivery::AtMostOnce),
            ("at-least-once", Delivery::AtLeastOnce),
            ("exactly-once", Delivery::ExactlyOnce),
        ] {
            assert_eq!(delivery(name).unwrap().delivery, expected);
        }
        let refused = delivery("twice").err().unwrap().to_string();
        assert!(refused.contains("at-most-once"), "{refused}");
    }

    #[test]
    fn all_mistakes_are_told_at_once_whichever_layer_they_are_in() {
        let refused = refused(
            "dead_line = \"2s\"\nbody_bytes_max = \"much\"\nallowed_origins = [\"calls.example\"]\n",
            &["--deadline", "1ms", "--admin", "nowhere"],
        );

        for named in [
            "dead_line",
            "body_bytes_max",
            "calls.example",
            "deadline is below",
            "nowhere",
        ] {
            assert!(refused.contains(named), "{named}: {refused}");
        }
    }

    #[test]
    fn an_operators_listener_can_be_left_out() {
        let admin = |address: &str| config("", &["--admin", address]).unwrap().admin;

        assert_eq!(admin("none"), None);
        assert_eq!(
            admin("127.0.0.1:1"),
            Some(SocketAddr::from(([127, 0, 0, 1], 1)))
        );
    }
}
