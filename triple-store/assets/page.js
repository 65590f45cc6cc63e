"use strict";

const endpoint = new URL("query", document.baseURI).href;
const Editor = window.Yasgui.Yasgui ?? window.Yasgui;

new Editor(document.getElementById("yasgui"), {
  requestConfig: { endpoint },
  copyEndpointOnNewTab: true,
  endpointCatalogueOptions: { getData: () => [{ endpoint }] },
});
