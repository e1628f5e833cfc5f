// layout.rs - the declarations against abi/walrus-1.abi, the record of the binary interface as a C compiler sees it
//
// Both ways: what the record has must be declared just so, and what is declared must be in the record. A wrong member would be written
// across by the library, a wrong parameter would hand it a pointer's half.
use std::collections::BTreeMap;
use std::mem::size_of;
use walrus_sys::*;

const RECORD: &str = include_str!("../../../../abi/walrus-1.abi");
const SOURCE: &str = include_str!("../src/lib.rs");

type Members = BTreeMap<String, (usize, usize)>;

fn size_of_member<S, M>(_: fn(&S) -> &M) -> usize {
    size_of::<M>()
}

/// Name, size, and each member's offset and size.
macro_rules! layout {
    ($name:ident: $($member:ident)+) => {{
        let mut members = Members::new();
        $(members.insert(stringify!($member).into(),
            (std::mem::offset_of!($name, $member), size_of_member(|all: &$name| &all.$member)));)+
        (stringify!($name).to_string(), (size_of::<$name>(), members))
    }};
}

fn declared_structs() -> BTreeMap<String, (usize, Members)> {
    BTreeMap::from([
        layout!(walrus_error_t: struct_size code os_errno reserved index offset path message),
        layout!(walrus_record_t: data size index term timestamp_ns reserved),
        layout!(walrus_entry_t: index term timestamp_ns data size checksum flags owner),
        layout!(walrus_recovery_report_t: struct_size reason entries_cut bytes_cut cut_index cut_offset segments_scanned bytes_scanned
            duration_ns durable_index segment message),
        layout!(walrus_segment_info_t: struct_size is_tail id first_index last_index bytes file_bytes highest_timestamp_ns name),
        layout!(walrus_stats_t: struct_size is_poisoned first_index last_index durable_index segments async_pending txn_open appends
            entries_appended bytes_appended bytes_written syncs entries_synced largest_group sync_ns sync_ns_max sync_histogram rotations
            truncations segments_removed segment_cache_hits segment_cache_misses txn_committed txn_rolled_back txn_expired meta_updates
            recovery_ns recovery_bytes_cut recovery_entries_cut),
    ])
}

fn recorded_structs() -> BTreeMap<String, (usize, Members)> {
    let mut structs: BTreeMap<String, (usize, Members)> = BTreeMap::new();
    for line in RECORD.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["struct", name, "size", size] => {
                structs.insert(name.into(), (size.parse().unwrap(), Members::new()));
            }
            ["member", path, "offset", offset, "size", size, ..] => {
                let (name, member) = path.split_once('.').unwrap();
                let members = &mut structs.get_mut(name).unwrap().1;
                members.insert(member.into(), (offset.parse().unwrap(), size.parse().unwrap()));
            }
            _ => {}
        }
    }
    structs
}

#[test]
fn structs_are_laid_out_as_recorded() {
    let (declared, recorded) = (declared_structs(), recorded_structs());
    assert_eq!(declared.len(), 6);
    for (name, (size, members)) in &recorded {
        let (declared_size, declared_members) = declared.get(name).unwrap_or_else(|| panic!("{name} is not declared"));
        assert_eq!(declared_size, size, "size of {name}");
        assert_eq!(declared_members, members, "members of {name}");
    }
    assert_eq!(declared.len(), recorded.len());
    assert!(RECORD.contains(&format!("\npointer {}\n", size_of::<*const u8>())));
}

/// The declaration's text without line breaks, one item each.
fn declarations(keyword: &str) -> Vec<String> {
    let text: String = SOURCE.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(", )", ")");
    text.match_indices(keyword)
        .map(|(at, _)| text[at + keyword.len()..].split(';').next().unwrap().to_string())
        .collect()
}

#[test]
fn constants_have_the_recorded_values() {
    let recorded: BTreeMap<String, String> = RECORD
        .lines()
        .filter_map(|line| line.strip_prefix("constant ")?.split_once(' '))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let declared: BTreeMap<String, String> = declarations("pub const ")
        .iter()
        .filter(|text| !text.starts_with("WALRUS_VERSION")) // the header's own version is no part of the interface
        .map(|text| (text.split(':').next().unwrap().into(), text.split(" = ").nth(1).unwrap().into()))
        .collect();
    assert_eq!(declared, recorded);
    let number = WALRUS_VERSION.split('.').fold(0, |all, part| all * 100 + part.parse::<u32>().unwrap());
    assert_eq!(number, WALRUS_VERSION_NUMBER);
}

/// A Rust type as the record spells it.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    let (pointee, is_const) = match (rust.strip_prefix("*const "), rust.strip_prefix("*mut ")) {
        (Some(pointee), _) => (pointee, true),
        (_, Some(pointee)) => (pointee, false),
        _ => {
            return match rust {
                "u64" => "uint64_t",
                "i64" => "int64_t",
                "u32" => "uint32_t",
                "i32" => "int32_t",
                "usize" => "size_t",
                "c_int" => "int",
                "c_void" => "void",
                "c_char" => "char",
                other => other,
            }
            .to_string()
        }
    };
    let inner = c_type(pointee);
    let star = if inner.ends_with('*') { "*" } else { " *" };
    format!("{}{inner}{star}", if is_const { "const " } else { "" })
}

fn c_signature(parameters: &str, result: Option<&str>) -> String {
    let parameters: Vec<String> = parameters
        .split(", ")
        .filter(|one| !one.is_empty())
        .map(|one| c_type(one.split_once(": ").map_or(one, |(_, kind)| kind)))
        .collect();
    let parameters = if parameters.is_empty() { "void".into() } else { parameters.join(", ") };
    format!("{} ({parameters})", c_type(result.unwrap_or("c_void")))
}

fn recorded_signatures(keyword: &str) -> BTreeMap<String, String> {
    RECORD
        .lines()
        .filter_map(|line| line.strip_prefix(keyword)?.split_once(": "))
        .map(|(name, signature)| (name.split(' ').next().unwrap().into(), signature.into()))
        .collect()
}

#[test]
fn functions_have_the_recorded_types() {
    let declared: BTreeMap<String, String> = declarations("pub fn ")
        .iter()
        .map(|text| {
            let (name, rest) = text.split_once('(').unwrap();
            let (parameters, result) = rest.split_once(')').unwrap();
            (name.into(), c_signature(parameters, result.trim().strip_prefix("-> ")))
        })
        .collect();
    assert!(declared.len() > 60, "the source was not understood");
    assert_eq!(declared, recorded_signatures("function "));
}

#[test]
fn callbacks_have_the_recorded_types() {
    let declared: BTreeMap<String, String> = declarations("pub type ")
        .iter()
        .map(|text| {
            let (name, rest) = text.split_once(" = Option<unsafe extern \"C\" fn(").unwrap();
            let (parameters, result) = rest.trim_end_matches('>').split_once(')').unwrap();
            (name.into(), c_signature(parameters, result.trim().strip_prefix("-> ")))
        })
        .collect();
    assert_eq!(declared, recorded_signatures("callback "));
}

#[test]
fn the_library_has_the_declared_interface() {
    let (number, abi) = unsafe { (walrus_version_number(), walrus_abi_version()) };
    assert_eq!(abi, WALRUS_ABI_VERSION);
    assert!(number >= WALRUS_VERSION_NUMBER, "the library is older than the declarations: {number}");
}
