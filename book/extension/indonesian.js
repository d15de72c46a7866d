// Indonesian stems for the reader's search: Snowball's algorithm, after F. Z. Tala, "A Study of Stemming Effects on
// Information Retrieval in Bahasa Indonesia" (2003). Python stems the index with snowballstemmer; a test holds both together.
var Stemmer = function () {
  this.stemWord = function (word) {
    let measure = (word.match(/[aeiou]/g) ?? []).length; // vowels; a word keeps at least two
    let order = 0; // which prefix went: 1 di-, me-, ter-; 2 pe-, per-; 3 ke-, pem-, pen-, peng-; 4 be-, ber-
    let start = 0; // where the root begins: after the s of menyapu, the p of memakai

    const cut = (from, to, instead = "") => {
      word = word.slice(0, from) + instead + word.slice(to);
      measure -= 1;
      return true;
    };
    const cutEnd = (pattern) => {
      const end = pattern.exec(word);
      if (end) cut(end.index, word.length);
    };
    const cutFirstPrefix = () => {
      const prefix = /^(?:(meng|me(?![mn])|di|ter)|(men)|(peng|ke)|(pen)|(mem)|(pem))/.exec(word);
      if (!prefix) return false;
      const [, plain, men, nominal, pen, mem] = prefix;
      const next = word.slice(prefix[0].length);
      let [length, letter] = [prefix[0].length, ""];
      if ((men || pen) && /^y[aeiou]/.test(next)) [length, letter] = [length + 1, "s"];
      if (!(plain || nominal || men || pen) && /^[aeiou]/.test(next)) letter = "p";
      order = plain || men || mem ? 1 : 3;
      start = letter.length;
      return cut(0, length, letter);
    };
    const cutSecondPrefix = () => {
      const prefix = /^(?:(pe|be)r|(pe|be)l(?=ajar)|(pe)|(be)(?=[^aeiou]er))/.exec(word.slice(start));
      if (!prefix) return false;
      const [whole, beforeR, beforeL, pe] = prefix;
      if (whole.startsWith("be")) order = 4;
      else if (beforeR || pe) order = 2;
      return cut(start, start + whole.length);
    };
    const cutSuffix = () => {
      const root = word.slice(start);
      const [last, before] = [word.length, (count) => root.at(-1 - count)];
      if (root.endsWith("an")) {
        if (order !== 2 && order !== 3 && before(2) === "k") return cut(last - 3, last);
        return order !== 1 && cut(last - 2, last);
      }
      return root.endsWith("i") && order <= 2 && before(1) !== "s" && cut(last - 1, last);
    };

    if (measure > 2) cutEnd(/(kah|lah|pun)$/);
    if (measure > 2) cutEnd(/(nya|ku|mu)$/);
    if (measure <= 2) return word;
    if (cutFirstPrefix()) {
      if (measure > 2 && cutSuffix() && measure > 2) cutSecondPrefix();
    } else {
      cutSecondPrefix();
      if (measure > 2) cutSuffix();
    }
    return word;
  };
};
