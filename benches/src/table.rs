//! How figures are shown.

/// Figures, each with its bound.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    /// Adds a figure that must be at most `bound`.
    pub(crate) fn at_most(&mut self, figure: &str, measured: f64, bound: f64, unit: &str) {
        let verdict = if measured <= bound { "met" } else { "MISSED" };
        self.rows.push([
            figure.to_owned(),
            format!("{measured:.2} {unit}"),
            format!("at most {bound:.2} {unit}"),
            verdict.into(),
        ]);
    }

    /// Adds a figure without a bound.
    pub(crate) fn note(&mut self, figure: &str, measured: String) {
        self.rows.push([figure.to_owned(), measured, String::new(), String::new()]);
    }

    /// Prints it in Markdown.
    pub(crate) fn print(&self) {
        let head = ["figure", "measured", "bound", ""].map(str::to_owned);
        let width = |column: usize| {
            self.rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3)];
        let line = |row: &[String; 4]| {
            let cells: Vec<_> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            println!("| {} |", cells.join(" | "));
        };
        line(&head);
        line(&widths.map(|width| "-".repeat(width)));
        self.rows.iter().for_each(line);
    }
}
