// Package page is a document as people read it: a title, what it says in one sentence, figures, tables, charts and notes, the same as text, as HTML and on paper
// (PDF). Reports and drafts describe what they have to say, and nothing of how it looks; so they all look alike, and what was looked at once holds for all.
//
// A page needs nothing else: no script, no font and no picture from anywhere. It is a pure function of the document: the same document gives the same bytes.
// It imports nothing of ours but the writer of files below it.
package page
