// Package report is what a drill came to: the drill_report of the register of evidence, with every field of it, as JSON and as a page that a manager can read (HTML,
// PDF, text). DORA Art. 11(4), 11(6)(a), 12(2), 24, 25(1); RTS (EU) 2024/1774 Art. 25, 26.
//
// What nobody recorded is null in the JSON, says so in words on the page, and stands in a list of its own; nothing is left out and nothing is guessed. It says what
// each article asks and what in this drill shows it; whether that is enough, the financial entity judges.
//
// It is pure: the same entries of the log and the same checkpoint give the same report. It imports audit (entries), audit/report (covers, and the residency summary), drill/measure,
// drill/scenario (words of the register) and internal/page.
package report
