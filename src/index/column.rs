//! `Column`: one number a file, four bytes wide unless a number needs eight.

/// Numbers by rank.
#[derive(Debug)]
pub(crate) enum Column {
    Narrow(Box<[u32]>),
    Wide(Box<[u64]>),
}

impl Column {
    pub(crate) fn new(numbers: &[u64]) -> Self {
        match numbers
            .iter()
            .map(|&number| u32::try_from(number))
            .collect()
        {
            Ok(narrow) => Column::Narrow(narrow),
            Err(_) => Column::Wide(numbers.into()),
        }
    }

    pub(crate) fn get(&self, rank: u32) -> u64 {
        match self {
            Column::Narrow(numbers) => numbers[rank as usize].into(),
            Column::Wide(numbers) => numbers[rank as usize],
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Column::Narrow(numbers) => size_of_val(&**numbers),
            Column::Wide(numbers) => size_of_val(&**numbers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_as_wide_as_its_largest_number_needs() {
        for numbers in [
            vec![],
            vec![7, u64::from(u32::MAX)],
            vec![1, 1 << 32, u64::MAX],
        ] {
            let column = Column::new(&numbers);
            let read: Vec<u64> = (0..numbers.len() as u32)
                .map(|rank| column.get(rank))
                .collect();
            assert_eq!(read, numbers);
            let wide = numbers.iter().any(|&number| number > u32::MAX.into());
            assert_eq!(
                column.heap_bytes(),
                numbers.len() * if wide { 8 } else { 4 }
            );
        }
    }
}
