package config

import "slices"

// nearest returns the candidate that the word was probably meant to be, or "".
func nearest(word string, candidates []string) string {
	best, least := "", 3 // two slips are a typing mistake, three another word
	for _, c := range candidates {
		if d := distance(word, c); d < least && d < len(word) {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace between two words
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// didYouMean returns "; did you mean x?" or the remedy where nothing is near.
func didYouMean(word string, candidates []string, otherwise string) string {
	if near := nearest(word, candidates); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; " + otherwise
}

// sorted returns a sorted copy.
func sorted(words []string) []string { return slices.Sorted(slices.Values(words)) }
