//! Reference picture lists of H.264 (ITU-T H.264, 8.2.4).

use super::dpb::{Dpb, Entry};
use super::slice::{Modification, SliceHeader, SliceType, Structure};

/// An entry of a list: which frame of the buffer, and which of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) at: usize,
    pub(super) fields: u8,
}

/// Both lists of a slice; an entry is none where the stream refers to what is not there.
pub(super) fn lists<P: Clone>(dpb: &Dpb<P>, slice: &SliceHeader, count: i32) -> [Vec<Option<Reference>>; 2] {
    let mut lists = initial(dpb, slice, count);
    for ((list, modifications), active) in
        lists.iter_mut().zip(&slice.modifications).zip(slice.num_ref_idx_active_minus1)
    {
        let length = usize::from(active) + 1;
        list.resize(length, None);
        modify(list, length, dpb, slice, modifications);
    }
    match slice.slice_type {
        SliceType::I => [Vec::new(), Vec::new()],
        SliceType::P => {
            let [first, _] = lists;
            [first, Vec::new()]
        }
        SliceType::B => lists,
    }
}

/// 8.2.4.2
fn initial<P: Clone>(dpb: &Dpb<P>, slice: &SliceHeader, count: i32) -> [Vec<Option<Reference>>; 2] {
    let entries = dpb.entries();
    let all = |of: fn(&Entry<P>) -> u8| -> Vec<usize> {
        let whole = !slice.structure.is_field();
        let fits = |fields: u8| if whole { fields == 3 } else { fields != 0 };
        (0..entries.len()).filter(|at| entries.get(*at).is_some_and(|entry| fits(of(entry)))).collect()
    };
    let mut long = all(|entry| entry.long);
    let key = |at: &usize, of: fn(&Entry<P>) -> i64| entries.get(*at).map_or(0, of);
    long.sort_by_key(|at| key(at, |entry| i64::from(entry.long_term_frame_idx)));
    let mut short = all(|entry| entry.short);
    let arrange = |short: &[usize], long: &[usize]| -> Vec<Option<Reference>> {
        let arranged = match slice.structure {
            Structure::Frame => short.iter().chain(long).map(|at| Reference { at: *at, fields: 3 }).collect(),
            structure => {
                let mut list = alternate(entries, short, structure, |entry| entry.short);
                list.extend(alternate(entries, long, structure, |entry| entry.long));
                list
            }
        };
        arranged.into_iter().map(Some).collect()
    };
    if slice.slice_type != SliceType::B {
        short.sort_by_key(|at| std::cmp::Reverse(key(at, |entry| entry.frame_num_wrap)));
        return [arrange(&short, &long), Vec::new()];
    }
    // 8.2.4.2.3, 8.2.4.2.4: by order counts, which inferred frames do not have.
    short.retain(|at| entries.get(*at).is_some_and(|entry| !entry.non_existing));
    let order = |at: &usize| key(at, |entry| i64::from(entry.count()));
    let count = i64::from(count);
    // The first field of the current frame counts as past.
    let is_past = |at: &usize| order(at) <= count;
    let (mut past, mut future): (Vec<usize>, Vec<usize>) = short.iter().copied().partition(is_past);
    past.sort_by_key(|at| std::cmp::Reverse(order(at)));
    future.sort_by_key(order);
    let first = arrange(&[past.clone(), future.clone()].concat(), &long);
    let mut second = arrange(&[future, past].concat(), &long);
    if second.len() > 1 && first == second {
        second.swap(0, 1);
    }
    [first, second]
}

/// Fields of frames, parities by turns, the current one's first (8.2.4.2.5).
fn alternate<P>(
    entries: &[Entry<P>],
    frames: &[usize],
    structure: Structure,
    of: fn(&Entry<P>) -> u8,
) -> Vec<Reference> {
    let of_parity = |fields: u8| {
        let marked = move |at: &&usize| entries.get(**at).is_some_and(|entry| of(entry) & fields != 0);
        frames.iter().filter(marked).map(move |at| Reference { at: *at, fields })
    };
    let (mut same, mut other) = (of_parity(structure.fields()), of_parity(3 ^ structure.fields()));
    let mut list = Vec::new();
    loop {
        let Some(next) = same.next() else {
            list.extend(other);
            return list;
        };
        list.push(next);
        let Some(next) = other.next() else {
            list.extend(same);
            return list;
        };
        list.push(next);
    }
}

/// 8.2.4.3
fn modify<P: Clone>(
    list: &mut Vec<Option<Reference>>,
    length: usize,
    dpb: &Dpb<P>,
    slice: &SliceHeader,
    modifications: &[Modification],
) {
    let (current, most) = match slice.structure.is_field() {
        false => (i64::from(slice.frame_num), dpb.max_frame_num()),
        true => (i64::from(slice.frame_num) * 2 + 1, dpb.max_frame_num() * 2),
    };
    let mut predicted = current;
    for (index, step) in modifications.iter().enumerate() {
        let found = match step {
            Modification::Subtract(difference) | Modification::Add(difference) => {
                let difference = i64::from(*difference);
                let signed = if matches!(step, Modification::Add(_)) { difference } else { -difference };
                // (8-34), (8-35): wrapped within 0 and `most`.
                predicted = (predicted + signed).rem_euclid(most);
                let number = if predicted > current { predicted - most } else { predicted };
                dpb.find(slice.structure, number, |entry| (entry.short, entry.frame_num_wrap))
            }
            Modification::LongTerm(number) => dpb.find(slice.structure, i64::from(*number), |entry| {
                (entry.long, i64::from(entry.long_term_frame_idx))
            }),
        };
        let Some((at, fields)) = found else { continue };
        let reference = Some(Reference { at, fields });
        if index >= length {
            return;
        }
        // (8-37), (8-38): inserted, and taken out where it stood behind.
        list.insert(index, reference);
        if let Some(behind) = (index + 1..list.len()).find(|at| list.get(*at) == Some(&reference)) {
            list.remove(behind);
        }
        list.truncate(length);
    }
}
