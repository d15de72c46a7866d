/* Loads what the instrument of the page `explore` is made of once a reader comes near it, two megabytes and more; and what
   its part for a reader's own picture needs, the encoder, once they come near that. */
"use strict";

{
  const place = document.getElementById("explore");
  place.classList.add("explore-runs"); // which hides the sentence on why there is nothing
  const parts = [
    [place, ["bokeh.min", "data", "network", "explore"]],
    [document.getElementById("explore-own"), ["encoder", "score", "picture", "own"]], // hidden until explore.js has run
  ];
  for (const [part, names] of parts) {
    const load = () => {
      for (const name of names) {
        const script = document.createElement("script");
        script.src = `explore/${name}.js`;
        script.async = false; // one after the other
        script.addEventListener("error", () => (part === place ? place.classList.remove("explore-runs") : part.remove()));
        document.body.append(script);
      }
    };
    const watch = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watch.disconnect();
        load();
      },
      { rootMargin: "600px" },
    );
    watch.observe(part);
  }
}
