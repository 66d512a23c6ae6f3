// Package pdf writes files in the Portable Document Format (ISO 32000-1, PDF 1.7): pages of text, lines and bars, with fonts inside, a structure that readers aloud
// and programs follow (tagged PDF, section 14.8), bookmarks, and what the file is about (XMP). It knows no document, no layout and no colour of ours.
//
// The same calls give the same bytes: it reads no clock and draws no chance. It imports nothing of ours; of others only the fonts.
package pdf
