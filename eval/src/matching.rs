//! The largest matching between reference and estimated notes that fit each other. Pure.

/// Which estimated note each reference note was given; `fits[r]` lists the candidates of reference `r`.
/// Augmenting paths: a corpus' clips have a few candidates a note, so nothing cleverer is needed.
pub(crate) fn largest(fits: &[Vec<usize>], estimated: usize) -> Vec<Option<usize>> {
    let mut owner: Vec<Option<usize>> = vec![None; estimated];
    for reference in 0..fits.len() {
        let mut seen = vec![false; estimated];
        augment(reference, fits, &mut owner, &mut seen);
    }
    let mut given = vec![None; fits.len()];
    for (estimate, reference) in owner.into_iter().enumerate() {
        if let Some(reference) = reference {
            given[reference] = Some(estimate);
        }
    }
    given
}

fn augment(
    reference: usize,
    fits: &[Vec<usize>],
    owner: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for &estimate in &fits[reference] {
        if std::mem::replace(&mut seen[estimate], true) {
            continue;
        }
        let free = match owner[estimate] {
            None => true,
            Some(other) => augment(other, fits, owner, seen),
        };
        if free {
            owner[estimate] = Some(reference);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_gives_way_to_one_that_fits_nowhere_else() {
        // The second fits only where the first was put.
        let given = largest(&[vec![0, 1], vec![0], vec![2], vec![2]], 3);
        assert_eq!(given, [Some(1), Some(0), Some(2), None]);
    }

    #[test]
    fn nothing_fits_nothing() {
        assert_eq!(largest(&[vec![], vec![]], 4), [None, None]);
        assert_eq!(largest(&[], 2), []);
    }
}
