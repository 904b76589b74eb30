//! Rows in which any two values of any two factors meet at least once.

use std::collections::HashSet;

use fastrand::Rng;

/// For each factor the index of its value.
pub(crate) type Row = Vec<usize>;

type Pair = (usize, usize, usize, usize);

fn pairs(row: &[usize]) -> impl Iterator<Item = Pair> {
    (0..row.len()).flat_map(move |a| (a + 1..row.len()).map(move |b| (a, row[a], b, row[b])))
}

/// Greedy: each row starts from a pair that is still missing and takes, factor by factor in random order, the value that
/// meets the most of what is missing. `levels` holds the number of values of each factor.
pub(crate) fn rows(levels: &[usize], random: &mut Rng) -> Vec<Row> {
    let mut missing = HashSet::new();
    for a in 0..levels.len() {
        for b in a + 1..levels.len() {
            for (x, y) in (0..levels[a]).flat_map(|x| (0..levels[b]).map(move |y| (x, y))) {
                missing.insert((a, x, b, y));
            }
        }
    }
    let mut rows = Vec::new();
    while let Some(&(a, x, b, y)) = missing.iter().min() {
        let mut row: Vec<Option<usize>> = vec![None; levels.len()];
        (row[a], row[b]) = (Some(x), Some(y));
        let mut order: Vec<usize> = (0..levels.len()).collect();
        random.shuffle(&mut order);
        for factor in order {
            if row[factor].is_some() {
                continue;
            }
            let gain = |value: usize| {
                let known = row
                    .iter()
                    .enumerate()
                    .filter_map(|(other, set)| Some((other, (*set)?)));
                let met = known.filter(|&(other, set)| {
                    let pair = if other < factor {
                        (other, set, factor, value)
                    } else {
                        (factor, value, other, set)
                    };
                    missing.contains(&pair)
                });
                met.count()
            };
            let gains: Vec<usize> = (0..levels[factor]).map(gain).collect();
            let best = gains.iter().max();
            let choices: Vec<usize> = (0..gains.len())
                .filter(|value| Some(&gains[*value]) == best)
                .collect();
            row[factor] = random.choice(choices);
        }
        let row: Row = row.into_iter().flatten().collect();
        for pair in pairs(&row) {
            missing.remove(&pair);
        }
        rows.push(row);
    }
    rows
}

#[test]
fn no_two_values_of_two_switches_never_meet() {
    let levels = [40, 2, 3, 3, 2, 2, 3, 1, 2, 3];
    let rows = rows(&levels, &mut Rng::with_seed(1));
    let met: HashSet<Pair> = rows.iter().flat_map(|row| pairs(row)).collect();
    let wanted: usize = (0..levels.len())
        .flat_map(|a| (a + 1..levels.len()).map(move |b| levels[a] * levels[b]))
        .sum();
    assert_eq!(met.len(), wanted);
    assert!(rows.len() <= 140, "{} rows", rows.len());
}
