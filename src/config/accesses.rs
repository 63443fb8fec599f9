//! The ways to a provider: its own key and address, and those that `accesses` adds.
//!
//! Must not print a key: what names an access in memory is a digest of key and address.

use sha2::{Digest, Sha256};

use crate::base::secret::Secret;
use crate::catalog::kept::Kept;
use crate::catalog::provider::{Access, Endpoint, Endpoints};

use super::address::BaseUrl;
use super::fields::{Fields, Findings};
use super::providers::{self, Environment, Place};
use super::raw::{Origin, Table};

/// Accesses of one provider: a request remembers those that it has tried in a word.
const ACCESSES_MAX: usize = 32;
const WEIGHT_MAX: u64 = 1_000;

/// What the provider itself says: the first access, and the defaults of the others.
pub(super) struct Own<'a> {
    /// Of the provider.
    pub(super) id: &'a str,
    /// Its table.
    pub(super) table: &'a Table,
    pub(super) key: Option<Secret>,
    pub(super) is_key_optional: bool,
    /// Its base URL, if it has a usable one.
    pub(super) base: Option<&'a BaseUrl>,
    pub(super) place: &'a Place,
}

/// Where a provider serves.
struct Regions {
    /// Those with an address of their own, each with its host.
    hosts: Vec<(String, String)>,
    /// The one that its own address is in.
    own: String,
}

/// What an access says of itself.
struct Named {
    number: usize,
    weight: u32,
    region: String,
}

/// Reads all. One without a key is left out as long as another has one; the first stays in any case.
pub(super) fn read(fields: &mut Fields<'_, '_>, own: &Own<'_>, environment: &Environment<'_>) -> Vec<Access> {
    let weight = read_weight(fields);
    let hosts = providers::read_regional_hosts(fields, own.place);
    let region = read_region(fields, &hosts, own.base);
    let regions = Regions { hosts, own: region.clone() };
    let (endpoints, probe) = read_addresses(fields, own.place, own.base);
    let named = Named { number: 1, weight, region };
    let first = access(own, named, own.key.as_ref(), (own.base, endpoints, probe));
    let mut accesses = vec![first];
    let more = fields.tables("accesses");
    if more.len() >= ACCESSES_MAX {
        fields.complain("accesses", "are too many", format!("a provider has up to {ACCESSES_MAX}, its own included"));
    }
    let path = fields.named("accesses");
    for (number, (table, origin)) in (2..).zip(more.into_iter().take(ACCESSES_MAX - 1)) {
        let mut fields = Fields::new(table, origin, &*path, fields.findings);
        accesses.extend(read_one(&mut fields, number, (own, &regions), environment));
        fields.finish();
    }
    let has_key = |access: &Access| !access.key.expose().is_empty();
    if accesses.iter().any(has_key) && !own.is_key_optional {
        accesses.retain(has_key);
    }
    accesses
}

fn read_one(
    fields: &mut Fields<'_, '_>,
    number: usize,
    (own, regions): (&Own<'_>, &Regions),
    environment: &Environment<'_>,
) -> Option<Access> {
    let weight = read_weight(fields);
    let variables = fields.texts("api_key_env");
    if variables.is_empty() && !fields.is_stated("base_url") {
        fields.complain("api_key_env", "is missing", "an access has a key or an address of its own");
    }
    let key = if variables.is_empty() {
        own.key.clone()
    } else {
        providers::key_of_environment(fields, &variables, environment)
    };
    let other = fields.is_stated("base_url").then(|| providers::read_base(fields, own.place));
    let base = match &other {
        Some(other) => Some(other.as_ref().ok()?),
        None => own.base,
    };
    let region = if other.is_some() || fields.is_stated("region") {
        read_region(fields, &regions.hosts, base)
    } else {
        regions.own.clone()
    };
    if key.is_none() && !variables.is_empty() && !own.is_key_optional {
        return None;
    }
    // Paths are the provider's; whatever is wrong with them has been told.
    let mut told = Findings::default();
    let origin = Origin { file: "".into(), line: 0 };
    let mut paths = Fields::new(own.table, &origin, own.id, &mut told);
    let (endpoints, probe) = read_addresses(&mut paths, own.place, base);
    let named = Named { number, weight, region };
    Some(access(own, named, key.as_ref(), (base, endpoints, probe)))
}

/// The region that is stated, else the one whose host is in use.
fn read_region(fields: &mut Fields<'_, '_>, hosts: &[(String, String)], base: Option<&BaseUrl>) -> String {
    let stated = fields.text("region").filter(|region| !region.is_empty());
    let of_host = || hosts.iter().find(|(_, host)| base.is_some_and(|base| base.host == *host));
    let region = stated.or_else(|| of_host().map(|(region, _)| region.clone())).unwrap_or_default();
    if !region.is_empty() {
        fields.findings.regions.insert(region.clone());
    }
    region
}

fn read_weight(fields: &mut Fields<'_, '_>) -> u32 {
    u32::try_from(fields.whole("weight", 1, 1..=WEIGHT_MAX)).unwrap_or(1)
}

fn read_addresses(fields: &mut Fields<'_, '_>, place: &Place, base: Option<&BaseUrl>) -> (Endpoints, Option<Endpoint>) {
    let endpoints = providers::read_endpoints(fields, place, base);
    let name = fields.named("probe");
    let probe = fields.node("probe");
    (endpoints, probe.and_then(|node| providers::read_endpoint(node, &name, place, base, fields.findings)))
}

fn access(
    own: &Own<'_>,
    Named { number, weight, region }: Named,
    key: Option<&Secret>,
    (base, endpoints, probe): (Option<&BaseUrl>, Endpoints, Option<Endpoint>),
) -> Access {
    let key = key.cloned().unwrap_or_else(|| Secret::new(""));
    let mut digest = Sha256::new();
    for part in [own.id, key.expose(), &base.map(|base| format!("{base:?}")).unwrap_or_default()] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let digest = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
    Access {
        name: number.to_string().into(),
        id: format!("{}/{digest:016x}", own.id).into(),
        key,
        weight,
        region: region.into(),
        endpoints,
        probe,
        live: Kept::default(),
    }
}
