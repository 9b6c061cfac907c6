// The page for users who are not signed in, or may not see it.
import { replace } from "../dom.js";
import { signedOut } from "../host.js";
import { t } from "../language.js";
import { empty } from "../parts/notice.js";

const title = document.title.replace(/ · PGMQ$/, "");
replace(document.getElementById("page"), empty(title, t("Sign in to Airflow as a user who may see it.")));
if (/not authenticated|invalid jwt|token expired/i.test(title)) signedOut();
