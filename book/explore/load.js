/* Loads what the instrument of the page `explore` is made of once a reader comes near it: two megabytes and more. */
"use strict";

{
  const place = document.getElementById("explore");
  place.classList.add("explore-runs"); // which hides the sentence on why there is nothing
  const load = () => {
    for (const name of ["bokeh.min", "data", "network", "explore"]) {
      const script = document.createElement("script");
      script.src = `explore/${name}.js`;
      script.async = false; // one after the other
      script.addEventListener("error", () => place.classList.remove("explore-runs"));
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
  watch.observe(place);
}
