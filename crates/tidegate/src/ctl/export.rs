//! `tidegate export`: the configuration of a running Tidegate, or of documents, as one document.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use tidegate_config::{
    Layer,
    rest::{
        Running,
        export::{SecretFile, Secrets, has_binary, too_large, yaml},
    },
};

use super::{Failure, client::Client, complain, finish, on_runtime, print, show};
use crate::{
    control::compile::Importer,
    document_files,
    settings::{Environment, base_config, ctl::AccessOptions},
};

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// How to reach the running Tidegate.
    #[command(flatten)]
    access: AccessOptions,

    /// Export what the documents of this base directory say together, without a running Tidegate.
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,

    /// Base documents that lie under those of --base. [env: TIDEGATE_BASE_CONFIG, ZEUS_BASE_CONFIG]
    #[arg(long, value_name = "DIR", requires = "base")]
    base_config: Option<PathBuf>,

    /// Form of the document.
    #[arg(short, long, value_name = "FORM", default_value = "yaml")]
    output: Form,

    /// How private keys and passwords are written: as references to files below the base directory
    /// (secrets/…), or in clear.
    #[arg(long, value_name = "HOW", default_value = "references", conflicts_with = "secrets_to")]
    secrets: SecretsChoice,

    /// Write the files that the references name too, below this base directory, readable by their owner only.
    #[arg(long, value_name = "DIR")]
    secrets_to: Option<PathBuf>,
}

/// Form of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// How secrets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SecretsChoice {
    /// As references to files.
    References,
    /// In clear.
    Clear,
}

/// Writes the document to standard output.
pub(crate) fn export(options: ExportOptions, environment: &Environment) -> ExitCode {
    finish(run(options, environment))
}

fn run(options: ExportOptions, environment: &Environment) -> Result<(), Failure> {
    let secrets = match (&options.secrets_to, options.secrets) {
        (Some(_), _) => Secrets::Files,
        (None, SecretsChoice::References) => Secrets::References,
        (None, SecretsChoice::Clear) => Secrets::Clear,
    };
    let exported = if let Some(base) = &options.base {
        let base_config = base_config(options.base_config.clone(), environment);
        of_documents(base, base_config.as_deref(), secrets)?
    } else {
        let mut client = Client::new(crate::settings::ctl::resolve(options.access, environment)?)?;
        let path = format!("/api/tidegate/export?secrets={}", secrets.word());
        on_runtime(async move { client.document(&path).await })??
    };
    let document = &exported["document"];
    let text = match options.output {
        Form::Yaml => yaml(document),
        Form::Json if has_binary(document) => {
            let text =
                "the configuration has contents that are no text, which JSON cannot hold; export it as YAML";
            return Err(Failure::refused(text));
        }
        Form::Json => show::document(document, show::Format::Json),
    };
    let files = exported["files"].as_object().into_iter().flatten();
    if let Some(directory) = &options.secrets_to {
        for (path, file) in files {
            let content = file["content"].as_str().unwrap_or_default();
            keep(directory, path, content)
                .map_err(|error| Failure::refused(format!("{path} cannot be written: {error}")))?;
        }
    } else {
        for (path, file) in files {
            complain(&format!("note: {path} has to hold {}", show::cell(&file["key"])));
        }
    }
    print(text.as_bytes());
    for note in exported["notes"].as_array().into_iter().flatten() {
        complain(&format!("note: {}", show::cell(note)));
    }
    if let Some(fault) = too_large(&text) {
        complain(&format!("note: {fault}"));
    }
    Ok(())
}

/// As the REST interface answers it.
fn of_documents(base: &Path, base_config: Option<&Path>, secrets: Secrets) -> Result<Json, Failure> {
    let importer = Importer::new(base, base_config).map_err(Failure::refused)?;
    let files = document_files::read(base).map_err(|error| Failure::refused(error.to_string()))?;
    let imported = importer.read(&files, false);
    if imported.stopped() {
        let text = format!("the documents of {} cannot be imported; tidegate check says why", base.display());
        return Err(Failure::refused(text));
    }
    let running = Running { imported: &imported, layer: &Layer::default(), traffic_manager: "" };
    let exported = running.export(secrets);
    let file =
        |(path, file): (String, SecretFile)| (path, json!({ "key": file.key, "content": file.content }));
    let files: serde_json::Map<String, Json> = exported.files.into_iter().map(file).collect();
    Ok(json!({ "document": exported.document, "files": files, "notes": exported.notes }))
}

/// Writes a file that only its owner can read. The path comes from a server: it must not lead elsewhere.
fn keep(directory: &Path, path: &str, content: &str) -> std::io::Result<()> {
    let is_plain = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !is_plain || path.contains('\0') {
        return Err(std::io::Error::other("it leads out of the directory"));
    }
    let path = directory.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // It may have been there.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_secrets_stay_in_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        keep(directory.path(), "secrets/a", "x").unwrap();
        let path = directory.path().join("secrets/a");
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for path in ["../x", "/x", "secrets/../../x", "", "a//b"] {
            assert!(keep(directory.path(), path, "x").is_err(), "{path}");
        }
    }

    #[test]
    fn documents_are_exported_without_a_server() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("config")).unwrap();
        fs::write(base.path().join("config/a"), "pools: [{name: web, properties: {basic: {note: n}}}]")
            .unwrap();
        fs::write(base.path().join("config/b"), "pools: [{name: web, properties: {basic: {note: m}}}]")
            .unwrap();
        let exported = of_documents(base.path(), None, Secrets::References).unwrap();
        let expected = json!([{ "name": "web", "properties": { "basic": { "note": "m" } } }]);
        assert_eq!(exported["document"]["pools"], expected);
        fs::write(base.path().join("config/c"), "pools: 5").unwrap();
        assert!(of_documents(base.path(), None, Secrets::References).unwrap_err().text.contains("check"));
    }
}
