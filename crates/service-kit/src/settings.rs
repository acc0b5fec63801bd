//! What an operator sets, in layers: the default, a TOML file, the environment, the command line; the later one wins.
//!
//! A program has one struct of settings that clap and serde both read. Its names are those of the file (`drain_window`), of
//! the flags (`--drain-window`) and of the variables that it says. Every field may be missing everywhere: then the default
//! holds, which the service's own `Config` states. What is wrong is gathered in [`Mistakes`] and told at once.
//!
//! ```
//! use std::time::Duration;
//! use clap::Parser;
//! use service_kit::settings::{CommandLine, Mistakes};
//!
//! #[derive(Default, clap::Args, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     /// Places at the table [default: 4].
//!     #[arg(long, env = "DINNER_PLACES")]
//!     places: Option<u32>,
//!     /// When to stop waiting for guests, as `15m`.
//!     #[arg(long, value_parser = humantime::parse_duration)]
//!     #[serde(with = "humantime_serde")]
//!     patience: Option<Duration>,
//! }
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     /// A TOML file with settings.
//!     #[arg(long)]
//!     config: Option<std::path::PathBuf>,
//!     #[command(flatten)]
//!     settings: Settings,
//! }
//!
//! let file = tempfile::NamedTempFile::new()?;
//! std::fs::write(file.path(), "places = 6\npatience = \"15m\"\n")?;
//! let path = file.path().display().to_string();
//! let line = CommandLine::<Arguments>::parse_from(["dinner", "--config", &path, "--places", "8"])?;
//!
//! let mut mistakes = Mistakes::default();
//! let settings: Settings = line.settings(line.arguments.config.as_deref(), &mut mistakes);
//! mistakes.none()?;
//! assert_eq!(settings.places, Some(8));
//! assert_eq!(settings.patience, Some(Duration::from_secs(15 * 60)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    ffi::OsString,
    fmt::Display,
    path::Path,
    str::FromStr,
};

use clap::{ArgAction, ArgMatches, Args, Command, Parser, parser::ValueSource};
use config::{Map, Value};
use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};

use crate::{error_chain::with_causes, settings_file};

/// Everything that is wrong with the settings, one sentence each. No value of a file is in it: it may be a password.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<String>);

/// The settings cannot be used: all that is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("settings: {}", .0.join("; "))]
pub struct SettingsError(Vec<String>);

impl Mistakes {
    /// Notes one.
    pub fn add(&mut self, mistake: impl Into<String>) {
        self.0.push(mistake.into());
    }

    /// Notes several.
    pub fn extend(&mut self, mistakes: impl IntoIterator<Item = String>) {
        self.0.extend(mistakes);
    }

    /// The value, or none with the error and its causes noted under the setting's name.
    pub fn ok<T, E: Error>(&mut self, setting: &str, value: Result<T, E>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(format!("{setting}: {}", with_causes(&error)));
                None
            }
        }
    }

    /// Goes on only if there was none.
    ///
    /// # Errors
    /// [`SettingsError`] with all of them.
    pub fn none(self) -> Result<(), SettingsError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(SettingsError(self.0))
        }
    }
}

/// A program's arguments as clap read them, from the command line and from the variables that the arguments name.
#[derive(Debug)]
pub struct CommandLine<A> {
    /// Every argument by its type.
    pub arguments: A,
    command: Command,
    matches: ArgMatches,
}

impl<A: Parser> CommandLine<A> {
    /// Reads this process's. What is wrong with them is told by clap, which ends the process.
    pub fn parse() -> Self {
        Self::parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads others.
    ///
    /// # Errors
    /// Clap's, with the usage.
    pub fn parse_from<T: Into<OsString> + Clone>(
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let command = A::command();
        let matches = command.clone().try_get_matches_from(arguments)?;
        let arguments = A::from_arg_matches(&matches)?;
        Ok(Self {
            arguments,
            command,
            matches,
        })
    }

    /// The settings: what the file says, and over it what was given here. A mistake leaves its setting out. Where a
    /// subcommand was given, the settings are its.
    pub fn settings<S: Args + DeserializeOwned + Default>(
        &self,
        file: Option<&Path>,
        mistakes: &mut Mistakes,
    ) -> S {
        self.layered(file, BTreeMap::new(), mistakes)
    }

    /// The same with any variable `<prefix>_<SETTING>` between the two.
    pub fn settings_with_variables<S: Args + DeserializeOwned + Default>(
        &self,
        file: Option<&Path>,
        prefix: &str,
        mistakes: &mut Mistakes,
    ) -> S {
        let variables = self.variables::<S>(prefix, std::env::vars_os());
        self.layered(file, variables, mistakes)
    }

    fn layered<S: Args + DeserializeOwned + Default>(
        &self,
        file: Option<&Path>,
        variables: BTreeMap<String, Value>,
        mistakes: &mut Mistakes,
    ) -> S {
        let mut values = BTreeMap::new();
        if let Some(file) = file {
            let setting = format!("settings file {}", file.display());
            values.extend(mistakes.ok(&setting, file_values(file)).unwrap_or_default());
        }
        values.extend(variables);
        values.extend(self.given::<S>(mistakes));
        values.retain(|name, value| {
            let one = Map::from_iter([(name.clone(), value.clone())]);
            let read = S::deserialize(Value::new(None, one));
            let mistake = read.err().map(|error| mistake_in(name, &error));
            let is_right = mistake.is_none();
            mistakes.extend(mistake);
            is_right
        });
        let all = Map::from_iter(values);
        S::deserialize(Value::new(None, all)).unwrap_or_else(|error| {
            mistakes.add(settings_file::without_values(&error).to_string());
            S::default()
        })
    }

    /// What was given on the command line or in the variable of an argument, as text: clap has checked it.
    fn given<S: Args>(&self, mistakes: &mut Mistakes) -> BTreeMap<String, Value> {
        let mut matches = &self.matches;
        while let Some((_, of_subcommand)) = matches.subcommand() {
            matches = of_subcommand;
        }
        let mut given = BTreeMap::new();
        for (name, is_list) in names_of::<S>() {
            let source = matches.value_source(&name);
            if !matches!(
                source,
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            ) {
                continue;
            }
            let texts = matches.get_raw(&name).into_iter().flatten();
            let texts: Option<Vec<String>> =
                texts.map(|text| Some(text.to_str()?.to_owned())).collect();
            match texts {
                Some(texts) if is_list => drop(given.insert(name, texts.into())),
                Some(texts) => {
                    given.extend(
                        texts
                            .into_iter()
                            .next_back()
                            .map(|text| (name, text.into())),
                    );
                }
                None => mistakes.add(format!("{name}: not UTF-8")),
            }
        }
        given
    }

    /// The variables with this prefix, less those that an argument of the program reads by itself.
    fn variables<S: Args>(
        &self,
        prefix: &str,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> BTreeMap<String, Value> {
        let lists: BTreeSet<String> = names_of::<S>()
            .filter_map(|(name, is_list)| is_list.then_some(name))
            .collect();
        let is_read_by_an_argument = |variable: &str| {
            let mut arguments = self.command.get_arguments();
            arguments.any(|argument| argument.get_env().is_some_and(|name| name == variable))
        };
        let setting = |(variable, text): (OsString, OsString)| {
            let (variable, text) = (variable.into_string().ok()?, text.into_string().ok()?);
            let name = variable.strip_prefix(prefix)?.strip_prefix('_')?;
            if is_read_by_an_argument(&variable) {
                return None;
            }
            let name = name.to_ascii_lowercase();
            let value = if lists.contains(&name) {
                Value::from(text.split(',').map(str::to_owned).collect::<Vec<_>>())
            } else {
                Value::from(text)
            };
            Some((name, value))
        };
        variables.filter_map(setting).collect()
    }
}

/// The settings that have an argument, and whether each is a list.
fn names_of<S: Args>() -> impl Iterator<Item = (String, bool)> {
    let command = S::augment_args(Command::new(""));
    let name = |argument: &clap::Arg| {
        let is_list = matches!(argument.get_action(), ArgAction::Append);
        (argument.get_id().to_string(), is_list)
    };
    command
        .get_arguments()
        .map(name)
        .collect::<Vec<_>>()
        .into_iter()
}

fn file_values(file: &Path) -> Result<Map<String, Value>, settings_file::SettingsFileError> {
    let source = settings_file::toml(file)?;
    let values = config::Config::builder().add_source(source).build();
    values
        .and_then(config::Config::try_deserialize)
        .map_err(|error| settings_file::without_values(&error))
}

fn mistake_in(name: &str, error: &config::ConfigError) -> String {
    let said = settings_file::without_values(error).to_string();
    if said.contains(name) {
        said
    } else {
        format!("{name}: {said}")
    }
}

/// Reads a field that a file has as text: `#[serde(deserialize_with = "service_kit::settings::from_text")]`.
///
/// # Errors
/// The type's own, which must not show the text outside of double quotes.
pub fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::SocketAddr, path::PathBuf, time::Duration};

    use super::*;

    #[derive(Debug, Default, PartialEq, Args, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        #[arg(long)]
        listen: Option<SocketAddr>,
        #[arg(long, env = "SERVICE_KIT_TEST_UNSET")]
        places: Option<u32>,
        #[arg(long, value_parser = humantime::parse_duration)]
        #[serde(with = "humantime_serde")]
        patience: Option<Duration>,
        #[arg(long, value_delimiter = ',')]
        origins: Vec<String>,
        #[arg(long)]
        open: bool,
        #[arg(long)]
        #[serde(deserialize_with = "from_text")]
        level: Option<Level>,
        #[arg(skip)]
        zones: BTreeMap<String, String>,
    }

    #[derive(Clone, Debug, PartialEq)]
    struct Level(u8);

    impl FromStr for Level {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            text.parse()
                .map(Level)
                .map_err(|_| format!("{text:?} is no level"))
        }
    }

    #[derive(Debug, Parser)]
    struct Arguments {
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long, env = "KIT_LOG_FORMAT")]
        log_format: Option<String>,
        #[command(flatten)]
        settings: Settings,
    }

    fn read(
        toml: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Result<Settings, SettingsError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(toml.as_bytes()).unwrap();
        let arguments = ["kit"].iter().chain(arguments).copied();
        let line = CommandLine::<Arguments>::parse_from(arguments).unwrap();
        let variables = variables
            .iter()
            .map(|(name, text)| (OsString::from(name), OsString::from(text)));
        let variables = line.variables::<Settings>("KIT", variables);
        let mut mistakes = Mistakes::default();
        let settings = line.layered(Some(file.path()), variables, &mut mistakes);
        mistakes.none().map(|()| settings)
    }

    #[test]
    fn the_later_layer_wins_and_each_setting_by_itself() {
        let toml = "listen = \"127.0.0.1:1\"\nplaces = 1\npatience = \"1s\"\norigins = [\"a\"]\nlevel = \"1\"\n\
                    [zones]\n\"한빛\" = \"Asia/Seoul\"\n";
        let variables = [
            ("KIT_PLACES", "2"),
            ("KIT_PATIENCE", "2s"),
            ("KIT_LOG_FORMAT", "json"),
            ("OTHER_PLACES", "9"),
        ];
        let arguments = ["--patience", "3s", "--origins", "b,c", "--open"];

        let settings = read(toml, &variables, &arguments).unwrap();

        let expected = Settings {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
            places: Some(2),
            patience: Some(Duration::from_secs(3)),
            origins: vec!["b".to_owned(), "c".to_owned()],
            open: true,
            level: Some(Level(1)),
            zones: BTreeMap::from([("한빛".to_owned(), "Asia/Seoul".to_owned())]),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_variable_turns_off_what_the_file_turns_on() {
        for off in ["false", "no", "0"] {
            let settings = read("open = true", &[("KIT_OPEN", off)], &[]).unwrap();
            assert!(!settings.open, "{off}");
        }
        assert!(read("open = true", &[], &[]).unwrap().open);
    }

    #[test]
    fn a_list_in_a_variable_is_divided_at_its_commas() {
        let settings = read("", &[("KIT_ORIGINS", "a,b")], &[]).unwrap();
        assert_eq!(settings.origins, ["a", "b"]);
        assert_eq!(read("", &[], &[]).unwrap(), Settings::default());
    }

    #[test]
    fn settings_of_a_subcommand_are_read_where_it_was_given() {
        #[derive(Debug, clap::Subcommand)]
        enum Verb {
            Serve(Settings),
        }
        #[derive(Debug, Parser)]
        struct WithVerb {
            #[command(subcommand)]
            verb: Verb,
        }

        let mut mistakes = Mistakes::default();
        let arguments = ["kit", "serve", "--places", "7", "--open"];
        let line = CommandLine::<WithVerb>::parse_from(arguments).unwrap();
        let settings: Settings = line.settings(None, &mut mistakes);
        assert_eq!((settings.places, settings.open), (Some(7), true));
        let Verb::Serve(by_clap) = &line.arguments.verb;
        assert_eq!(by_clap.places, Some(7));
        mistakes.none().unwrap();
    }

    #[test]
    fn every_mistake_is_told_at_once_and_no_value() {
        let toml = "listen = \"hunter2\"\nplaces = \"hunter2\"\nlevel = \"hunter2\"\nfodler = \"hunter2\"\n";
        let refused = read(toml, &[("KIT_PATIENCE", "hunter2")], &[]).unwrap_err();

        let said = format!("{refused} {refused:?}");
        for name in ["listen", "places", "level", "fodler", "patience"] {
            assert!(said.contains(name), "{name}: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named_with_what_else_is_wrong() {
        let line =
            CommandLine::<Arguments>::parse_from(["kit", "--config", "/nowhere/x.toml"]).unwrap();
        let mut mistakes = Mistakes::default();
        let file = line.arguments.config.as_deref();
        let _: Settings = line.settings(file, &mut mistakes);
        mistakes.ok("secret", Err::<(), _>(std::io::Error::other("gone")));

        let said = mistakes.none().unwrap_err().to_string();
        assert!(said.contains("/nowhere/x.toml"), "{said}");
        assert!(said.contains("secret: gone"), "{said}");
    }
}
